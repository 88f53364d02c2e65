"""The table of distance priors of Bailer-Jones et al. 2021, fetched and checked whole."""

import logging
import time
from pathlib import Path
from typing import Final

from redflower.catalogue.archive.patience import Patience, judged, make_session, patiently, save_body
from redflower.catalogue.maps.distance_prior import (
    BAILER_JONES_SHA256,
    DistancePrior,
    read_distance_prior,
)
from redflower.errors import FetchError, InputError
from redflower.files import check_new_file, written_whole

_LOG: Final = logging.getLogger(__name__)

#: The table as published with the authors' notebook (BSD-3-Clause).
PRIOR_URL: Final = (
    "https://raw.githubusercontent.com/ElisaHaas25/Interactive-Distance-Estimation/main/prior_summary.csv"
)
BY_HAND: Final = (
    "By hand: prior_summary.csv of https://github.com/ElisaHaas25/Interactive-Distance-Estimation (the notebook of "
    "Bailer-Jones et al. 2021, AJ 161, 147), then --distance-prior FILE."
)


def fetch_prior(out: Path, *, url: str = PRIOR_URL, patience: Patience | None = None) -> DistancePrior:
    """Fetch the table of Bailer-Jones et al. 2021 into a file, whole or not at all.

    Every pixel must be there once with a usable length, alpha and beta (`read_distance_prior`). A table that passes but
    has not the known checksum is kept, and said.

    Raises
    ------
    InputError
        If the file exists already or its folder does not.
    FetchError
        If the table cannot be had, or is not whole.
    """
    out = Path(out)
    check_new_file(out)
    patience = patience or Patience()
    with written_whole(out) as part:
        _download(url, part, patience)
        try:
            prior = read_distance_prior(part)
        except InputError as problem:
            text = str(problem).replace(str(part), url)
            raise FetchError(f"what came is no prior table: {text} {BY_HAND}") from None
    if prior.sha256 != BAILER_JONES_SHA256:
        _LOG.warning(
            "%s is whole but is not the file that redflower knows (SHA-256 %s, known %s).",
            out, prior.sha256, BAILER_JONES_SHA256,
        )  # fmt: skip
    return read_distance_prior(out)


def _download(url: str, part: Path, patience: Patience) -> None:
    import requests

    session = make_session(patience.request_s)

    def once() -> None:
        deadline = time.monotonic() + patience.job_s
        try:
            with session.get(url, stream=True) as response:
                response.raise_for_status()
                save_body(response, part, deadline, url)
        except requests.RequestException as problem:
            raise judged(problem, url) from None

    try:
        patiently(once, patience)
    except FetchError as problem:
        raise FetchError(f"{problem} {BY_HAND}") from None
