"""Which release of Gaia a table is from: its designations say it, or columns that only one release has."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from astropy.table import Column, Table

from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.io.names import without_decoration
from redflower.catalogue.prepared import is_simulated
from redflower.catalogue.releases import release_of_photometry, releases
from redflower.errors import InputError, TableError
from redflower.photometric_scales import PhotometricScale
from redflower.provenance import META_KEY

#: The column of Gaia's names, such as ``Gaia DR3 4295806720``; 2MASS has one of this name with other values.
DESIGNATION: Final = "designation"
#: Of ``Gaia DR3 4295806720`` or ``Gaia EDR3 4295806720``, what names the release.
_NAME_LETTERS: Final = len("Gaia EDR3")
_GAIA_NAME: Final = re.compile(r"^Gaia E?DR\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class KnownRelease:
    """The release of a table, and what it is known from, in words."""

    name: str
    evidence: str

    def as_dict(self) -> dict[str, str]:
        """Return both, as the provenance keeps them."""
        return {"release": self.name, "evidence": self.evidence}


def designation_columns(names: Sequence[str]) -> list[str]:
    """Return the columns that may hold Gaia's names: of that very name, or else those that another table's name decorates."""
    exact = [name for name in names if name.lower() == DESIGNATION]
    return exact or [name for name in names if without_decoration(name) == DESIGNATION]


def known_release(table: Table, names: Sequence[str], where: str) -> KnownRelease | None:
    """Return the release of a table; None if it does not tell, or holds simulated stars.

    Parameters
    ----------
    table : with at least its `designation_columns`.
    names : of all its columns.
    where : how messages call it.

    Raises
    ------
    TableError
        If it holds several releases, or one that redflower does not know.
    """
    if is_simulated(names) or table.meta.get(META_KEY, {}).get("stage") == "simulated":
        return None
    said = [(name, _releases_in(table[name], where)) for name in designation_columns(names)]
    said = [(name, found) for name, found in said if found]
    if said and all(found == said[0][1] for _, found in said):
        name, found = said[0]
        if len(found) > 1:
            counts = " and ".join(f"{n} of {releases()[release].title}" for release, n in found.items())
            raise TableError(
                f"{where} mixes releases: by its column {name!r} it holds {counts}. Identifiers, magnitudes and parallaxes of "
                "two releases do not go together; make a table of each."
            )
        (release,) = found
        return KnownRelease(release, f"column {name!r}")
    present = {name.lower() for name in names}
    by_columns = {
        release.name: columns
        for release in releases().values()
        for columns in reversed(release.only)
        if set(columns) <= present
    }
    if len(by_columns) > 1:
        both = " and ".join(
            f"{releases()[name].title} ({', '.join(columns)})" for name, columns in by_columns.items()
        )
        raise TableError(
            f"{where} mixes releases: it has columns that only {both} has. Keep the columns of one release, or add its column "
            f"{DESIGNATION!r}, which then decides."
        )
    for name, columns in by_columns.items():
        return KnownRelease(name, f"columns that only it has ({', '.join(columns)})")
    return None


def check_scale_of_release(
    scale: PhotometricScale, known: "dict[str, str] | None", stated: str
) -> GaiaRelease:
    """Return the release that a table's magnitudes are stated to be of, after a check against what the table shows.

    Parameters
    ----------
    scale : photometric scale of the table.
    known : the table's `KnownRelease` as a dictionary, if it shows one.
    stated : who says so, for the message.

    Raises
    ------
    InputError
        If the table shows another release.
    """
    release = release_of_photometry(scale.gaia)
    if known is not None and known["release"] != release.name:
        shown = releases()[known["release"]]
        raise InputError(
            f"photometry: {stated} says gaia={scale.gaia}, but the table is of {shown.title} by its {known['evidence']}. State "
            f"gaia={' or gaia='.join(shown.photometry)}, or leave Gaia out: it is read off the table. If the statement is right, "
            "take out of the table what shows another."
        )
    return release


def _releases_in(column: Column, where: str) -> dict[str, int]:
    """Return the releases that a column of names shows, with the number of rows of each, in the order of releases."""
    if column.ndim != 1:
        return {}
    words = Counter(np.asarray(column).astype(f"U{_NAME_LETTERS}").tolist())
    by_title = {title.lower(): r.name for r in releases().values() for title in r.designations}
    found: dict[str, int] = {}
    for word, n in words.items():
        if not _GAIA_NAME.match(word.strip()):
            continue
        name = by_title.get(word.strip().lower())
        if name is None:
            known = ", ".join(title for r in releases().values() for title in r.designations)
            raise TableError(
                f"{where} is of a release that redflower does not know: its column {str(column.name)!r} says "
                f"{word.strip()!r}; redflower knows {known}."
            )
        found[name] = found.get(name, 0) + n
    return {name: found[name] for name in releases() if name in found}
