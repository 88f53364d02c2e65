"""The exceptions that redflower raises on purpose.

A message says what was asked, what must hold, what arrived and what to do. The command line turns every
`RedflowerError` into that one message and exit code 2, without a traceback.
"""


class RedflowerError(Exception):
    """Base class of every error that the user can put right."""


class InputError(RedflowerError, ValueError):
    """A value or a file given by the user breaks a stated condition."""


class TableError(InputError):
    """A table cannot be read, or lacks a column, a unit or rows that the request needs."""


class RowLimitError(TableError):
    """A server's limit on rows cut a result short; the query must be made in smaller pieces."""


class FetchError(RedflowerError):
    """A survey's service fails, refuses, or sends something that is no result."""


class ModelError(RedflowerError):
    """A model file is damaged, foreign, or does not fit the request."""


class TrainingError(RedflowerError):
    """Training cannot start or go on (for instance, the loss is no longer finite)."""


class WorkerError(RedflowerError):
    """Worker processes cannot be started, or what they have done cannot be kept."""
