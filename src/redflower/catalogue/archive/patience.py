"""Asking a server again: what may pass, what is final, and how long to wait."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from redflower.errors import FetchError, InputError

_LOG: Final = logging.getLogger(__name__)
Result = TypeVar("Result")

#: Where credentials are looked for, and nowhere else; they are never written to a file or a log.
USER_VARIABLE, PASSWORD_VARIABLE = "REDFLOWER_TAP_USER", "REDFLOWER_TAP_PASSWORD"
AUTHORIZATION_VARIABLE: Final = "REDFLOWER_TAP_AUTHORIZATION"

_CHUNK_BYTES: Final = 1 << 20
#: Answers that mean "not now" rather than "not so".
_PASSING_CODES: Final = (408, 425, 429, 500, 502, 503, 504)
#: What services say of a query that is wrong, and will be wrong again. A job can end in error for lesser reasons.
REFUSALS: Final = (
    "parse", "syntax", "unknown column", "unknown table", "does not exist", "unresolved", "cannot find",
    "could not locate", "no such field", "no such table", "no such column",
)  # fmt: skip


class PassingError(FetchError):
    """A failure that may be gone at the next attempt."""


class RefusedError(FetchError):
    """The service will not answer this kind of query, however often it is asked."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a service, and how often to ask again.

    Attributes
    ----------
    attempts : of each query, the first included.
    backoff_s : wait before the second attempt; doubled before each further one, up to ``backoff_max_s``, with up to
        a quarter of random extra so that many clients do not return together. [s]
    request_s : limit of a single HTTP request without a byte. [s]
    job_s : limit of one job from its start to its last byte. [s]
    poll_s, poll_max_s : first and longest pause between looks at a running job. [s]
    """

    attempts: int = 6
    backoff_s: float = 5.0
    backoff_max_s: float = 300.0
    request_s: float = 60.0
    job_s: float = 1800.0
    poll_s: float = 1.0
    poll_max_s: float = 20.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.request_s, self.job_s, self.poll_s) <= 0 or self.backoff_s < 0:
            raise InputError(f"a service needs at least one attempt and positive times; got {self}.")

    def wait_s(self, failures: int) -> float:
        """Return the pause after a number of failures in a row. [s]"""
        return min(self.backoff_s * 2.0 ** (failures - 1), self.backoff_max_s) * random.uniform(1.0, 1.25)


def patiently(attempt: Callable[[], Result], patience: Patience) -> Result:
    """Return what an attempt returns, asking again after a failure that may pass.

    Raises
    ------
    FetchError
        If every attempt failed, or one for good.
    """
    for failures in range(1, patience.attempts + 1):
        try:
            return attempt()
        except PassingError as problem:
            if failures == patience.attempts:
                raise FetchError(f"{problem} ({failures} attempts)") from None
            pause_s = patience.wait_s(failures)
            _LOG.warning("%s Attempt %d of %d follows in %.0f s.", problem, failures + 1,
                         patience.attempts, pause_s)  # fmt: skip
            time.sleep(pause_s)
    raise AssertionError("unreachable")


def make_session(request_s: float) -> Any:
    """Make a requests session whose every request has a time limit."""
    import requests

    class Session(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("timeout") is None:
                kwargs["timeout"] = request_s
            return super().request(*args, **kwargs)

    session = Session()
    session.headers["User-Agent"] = "redflower (IVOA-science)"
    return session


def save_body(response: Any, path: Path, deadline: float, url: str) -> None:
    """Save the body of a response as a file; a body shorter than announced, or too slow, is a failure."""
    received = 0
    with path.open("wb") as file:
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)
            received += len(chunk)
            if time.monotonic() > deadline:
                raise PassingError(f"{url}: the result did not arrive in time; {received} bytes came.")


def judged(problem: Exception, url: str) -> FetchError:
    """Classify a failure of the service as one that may pass or one that will not."""
    response = getattr(problem, "response", None)
    code = getattr(response, "status_code", None) or getattr(problem, "code", None)
    text = f"{url}: {brief(problem)}."
    if code in (401, 403):
        return RefusedError(
            f"{text} It wants other credentials: {USER_VARIABLE} and {PASSWORD_VARIABLE}, or {AUTHORIZATION_VARIABLE}, "
            "in the environment."
        )
    if isinstance(code, int) and 400 <= code < 500 and code not in _PASSING_CODES:
        return RefusedError(text)
    import pyvo

    if isinstance(problem, pyvo.dal.DALQueryError):
        return RefusedError(text)
    return PassingError(text)


def brief(problem: Exception) -> str:
    lines = [line for line in str(problem).strip().splitlines() if line.strip()]
    return (lines[0] if lines else type(problem).__name__)[:300].rstrip(". ")
