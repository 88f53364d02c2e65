"""What is sent to a worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PartitionTask:
    """A partition to do.

    Attributes
    ----------
    number, name : of the partition; the name is for messages.
    job, job_digest : the pickled job with the reader of the catalogue, and its digest, by which a worker keeps it.
    graph : what computes the rows.
    folder, path : of the run, and of the file to write.
    request_digest : of what the run was asked.
    what : the command, for messages.
    topic : under which the worker tells how far it is; None where nobody listens.
    version : of redflower.
    """

    number: int
    name: str
    job: bytes
    job_digest: str
    graph: bytes
    folder: str
    path: str
    request_digest: str
    what: str
    topic: str | None
    version: str
