"""One run at a time into one output: a lock that the system lets go of when the process ends, however it ends."""

import json
import os
import socket
import time
from pathlib import Path
from typing import IO

from redflower.entries import plain
from redflower.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows, where the file is open for this process alone
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A lock on a file, held until `release` or the end of this process.

    Parameters
    ----------
    path : of the file, which says who holds it.
    what : how the message calls what is locked.

    Raises
    ------
    InputError : another process holds it.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self._holder()
            self._file.close()
            raise InputError(
                f"{what}: another run is writing this now ({holder}). Wait for its end, or give another name; two runs cannot "
                "write one output."
            ) from None
        if not path.exists() or os.fstat(self._file.fileno()).st_ino != path.stat().st_ino:
            self._file.close()
            raise InputError(
                f"{what}: another run has just ended here. Look at what it left, then start again."
            )
        self._file.truncate(0)
        self._file.write(
            json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": time.ctime()})
        )
        self._file.flush()

    def release(self) -> None:
        """Let go of it."""
        self._file.close()

    def _holder(self) -> str:
        try:
            self._file.seek(0)
            found = json.loads(self._file.read())
            who = f"process {int(found['process'])} on {str(found['host'])[:80]}, since {str(found['since'])[:40]}"
            return plain(who)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return "it does not say who"
