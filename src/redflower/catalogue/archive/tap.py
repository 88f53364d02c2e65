"""A TAP service: one query at a time, asynchronous, with every way it can go wrong told apart.

The queries and jobs go through pyvo. What pyvo leaves open is closed here: a time limit on every request and on every
job, the result kept as a file before it is parsed, and no result taken for whole that is not.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from astropy.table import Table

from redflower.catalogue.archive.defaults import GAIA_TAP
from redflower.catalogue.archive.patience import (
    AUTHORIZATION_VARIABLE,
    PASSWORD_VARIABLE,
    REFUSALS,
    USER_VARIABLE,
    PassingError,
    Patience,
    RefusedError,
    Result,
    brief,
    judged,
    make_session,
    patiently,
    save_body,
)
from redflower.catalogue.io.formats import read_votable
from redflower.errors import FetchError, InputError, RowLimitError, TableError

_FINAL_PHASES: Final = ("COMPLETED", "ERROR", "ABORTED")


class TapService:
    """A TAP service that is asked patiently.

    Parameters
    ----------
    url : base URL, the part before ``/async``.
    patience : see `Patience`.
    """

    def __init__(self, url: str = GAIA_TAP, patience: Patience | None = None) -> None:
        try:
            import pyvo
        except ImportError:
            raise InputError(
                "fetching needs pyvo, which is not installed: pip install 'redflower[archive]'."
            ) from None
        if not url.startswith(("http://", "https://")):
            raise InputError(f"--tap {url!r} must be the base URL of a TAP service, such as {GAIA_TAP}.")
        self.url = url.rstrip("/")
        self.patience = patience or Patience()
        self._session = make_session(self.patience.request_s)
        authorization = os.environ.get(AUTHORIZATION_VARIABLE)
        if authorization:
            self._session.headers["Authorization"] = authorization
        self._service = pyvo.dal.TAPService(self.url, session=self._session)
        self._logged_in = False

    def table(self, adql: str, *, max_rows: int, scratch: Path) -> Table:
        """Fetch the whole result of a query, by an asynchronous job.

        Parameters
        ----------
        adql : the query.
        max_rows : the result must not have more; the service is told.
        scratch : file for the answer while it is checked; removed afterwards.

        Raises
        ------
        RowLimitError
            If a limit on rows, this one or the service's own, cut the result.
        RefusedError
            If the service will not answer the query.
        FetchError
            If every attempt failed.
        """
        return self._patiently(lambda: self._attempt(adql, max_rows, scratch))

    def count(self, adql: str) -> int:
        """Fetch the single number that a query answers with, by a synchronous request.

        Raises
        ------
        RefusedError
            If the service will not answer the query.
        FetchError
            If every attempt failed.
        """
        return self._patiently(lambda: self._attempt_count(adql))

    def _patiently(self, attempt: Callable[[], Result]) -> Result:
        def once() -> Result:
            self._log_in()
            return attempt()

        return patiently(once, self.patience)

    def _attempt(self, adql: str, max_rows: int, scratch: Path) -> Table:
        import pyvo
        import requests

        deadline = time.monotonic() + self.patience.job_s
        job = None
        try:
            job = self._service.submit_job(adql, maxrec=max_rows)
            job.run()
            uri = self._wait(job, deadline)
            with self._session.get(uri, stream=True) as response:
                response.raise_for_status()
                save_body(response, scratch, deadline, self.url)
            return _read_whole(scratch, self.url, max_rows)
        except (pyvo.dal.DALServiceError, pyvo.dal.DALQueryError, requests.RequestException) as problem:
            raise judged(problem, self.url) from None
        except (ValueError, KeyError, OSError, SyntaxError) as problem:
            # pyvo parses what the service sends; what is no UWS document ends here.
            if isinstance(problem, (FetchError, TableError)):
                raise
            raise PassingError(f"{self.url} sent something that is no job: {brief(problem)}.") from None
        finally:
            scratch.unlink(missing_ok=True)
            if job is not None:
                with contextlib.suppress(Exception):
                    job.delete()

    def _wait(self, job: Any, deadline: float) -> str:
        pause_s = self.patience.poll_s
        while True:
            phase = job.phase
            if phase in _FINAL_PHASES:
                break
            if time.monotonic() + pause_s > deadline:
                raise PassingError(
                    f"{self.url}: the job is still {phase} after {self.patience.job_s:.0f} s and is given up."
                )
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, self.patience.poll_max_s)
        if phase != "COMPLETED":
            summary = job.job.errorsummary
            text = str(summary.message.content).strip() if summary and summary.message else "no reason given"
            kind = RefusedError if any(word in text.lower() for word in REFUSALS) else PassingError
            raise kind(f"{self.url}: the job ended as {phase}: {text}.")
        uri = job.result_uri
        if not uri:
            raise PassingError(f"{self.url}: the job is COMPLETED but names no result.")
        return str(uri)

    def _attempt_count(self, adql: str) -> int:
        import pyvo
        import requests

        try:
            answer = self._service.run_sync(adql, maxrec=2)
            if len(answer) != 1 or len(answer.fieldnames) != 1:
                raise PassingError(f"{self.url} answered a count with a table of {len(answer)} rows.")
            return int(answer.to_table()[answer.fieldnames[0]][0])
        except (pyvo.dal.DALServiceError, pyvo.dal.DALQueryError, pyvo.dal.DALFormatError,
                requests.RequestException) as problem:  # fmt: skip
            raise judged(problem, self.url) from None
        except (ValueError, TypeError, KeyError, IndexError, SyntaxError) as problem:
            if isinstance(problem, FetchError):
                raise
            raise PassingError(f"{self.url} answered a count with no number: {brief(problem)}.") from None

    def _log_in(self) -> None:
        """Sign in to the Gaia archive, which wants a form; other services get HTTP authentication."""
        user, password = os.environ.get(USER_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
        if self._logged_in or not (user and password):
            return
        if "/tap-server/" not in self.url + "/":
            self._session.auth = (user, password)
            self._logged_in = True
            return
        import requests

        login = self.url.split("/tap-server/")[0] + "/tap-server/login"
        try:
            response = self._session.post(login, data={"username": user, "password": password})
        except requests.RequestException as problem:
            raise PassingError(f"{login}: {brief(problem)}.") from None
        if response.status_code in (401, 403):
            raise RefusedError(
                f"{login} refuses the user and password of {USER_VARIABLE} and {PASSWORD_VARIABLE}."
            )
        if not response.ok:
            raise PassingError(f"{login} answers {response.status_code}.")
        self._logged_in = True


def _read_whole(path: Path, url: str, max_rows: int) -> Table:
    try:
        table = read_votable(path)
    except RowLimitError:
        raise RowLimitError(f"{url} cut the result at its limit on rows.") from None
    except TableError as problem:
        raise PassingError(f"{url} sent no table: {problem}") from None
    except Exception as problem:  # whatever a parser of a damaged VOTable raises, it means: ask again
        raise PassingError(f"{url} sent a result that is no whole VOTable: {brief(problem)}.") from None
    if len(table) >= max_rows:
        raise RowLimitError(f"{url} sent {len(table)} rows, the most that were asked for.")
    for name in table.colnames:
        if name != name.lower():
            table.rename_column(name, name.lower())
    return table
