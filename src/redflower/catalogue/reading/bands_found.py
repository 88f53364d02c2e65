"""Which bands a table has, and which of its unused columns look like photometry: a line for users, and a map to fill in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from redflower.bands import STANDARD, Band, BandSet
from redflower.catalogue.reading.checks import error_sources
from redflower.catalogue.reading.column_map import ColumnChoice
from redflower.catalogue.reading.lookalikes import decorated
from redflower.catalogue.reading.schema import INPUT_COLUMNS, InputColumn
from redflower.errors import TableError
from redflower.files import written_whole

#: Names of magnitudes and fluxes, or of a band behind a survey's name: ``w1mpro``, ``PS_g``, ``2MASS_J``, ``tmass.k_m``.
_PHOTOMETRY: Final = re.compile(
    r"mag|flux|mpro|(^|[_.])(fuv|nuv|u|g|bp|rp|r|i|z|y|j|h|ks?|w[1-4])(_m|_1|_2)?$", re.IGNORECASE
)
#: What tells that a name is no magnitude: errors, flags, counts, identifiers.
_NO_PHOTOMETRY: Final = re.compile(
    r"^e_|^true_|err|sig|unc|ivar|flag|flg|obs|over|match|excess|extinct|absorb|reddening|_id$", re.IGNORECASE
)
_SHOWN: Final = 12


def bands_found(names: Iterable[str], bands: BandSet = STANDARD) -> list[Band]:
    """Return the bands whose magnitudes and errors a table has.

    Parameters
    ----------
    names : of its columns in redflower's names.
    bands : to look for.
    """
    names = set(names)
    return [band for band in bands if band.magnitude_column in names and error_sources(band, names)]


def photometric_names(unused: Sequence[str]) -> list[str]:
    """Return the columns that look like magnitudes or fluxes."""
    return [name for name in unused if _PHOTOMETRY.search(name) and not _NO_PHOTOMETRY.search(name)]


def bands_line(names: Iterable[str], unused: Sequence[str], bands: BandSet = STANDARD) -> tuple[str, bool]:
    """Return a sentence on the bands of a table, empty if it has all, and whether it should be said loudly.

    Parameters
    ----------
    names : of its columns in redflower's names.
    unused : its own names of the columns that nothing takes.
    bands : to look for.
    """
    found = bands_found(names, bands)
    if len(found) == len(bands):
        return "", False
    text = f"{len(found)} of {len(bands)} bands found ({' '.join(band.label for band in found) or 'none'})"
    candidates = photometric_names(unused)
    if not candidates:
        return text, False
    shown = ", ".join(candidates[:_SHOWN])
    more = f" and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    return (
        f"{text}; unused columns that look like photometry: {shown}{more}. If they are bands of redflower's surveys, name them "
        "in a column map: --write-columns MAP.toml writes one to fill in, --columns MAP.toml uses it"
    ), True


def map_to_fill_in(
    names: Sequence[str],
    choice: ColumnChoice,
    units: Mapping[str, str],
    where: str,
    schema: Mapping[str, InputColumn] = INPUT_COLUMNS,
) -> str:
    """Return the text of a column map of a table: what was found, and what is to be filled in.

    Parameters
    ----------
    names : of the table's columns.
    choice : of those that were found.
    units : that a map states already.
    where : the table's name.
    schema : the columns that were looked for.
    """
    unused = [name for name in names if name not in {*choice.source.values(), *choice.extra.values()}]
    lines = [
        f"# Column map of {where}, for `redflower prepare --columns` and `redflower run --columns`. Our name stands left, the",
        "# table's right. Lines that begin with # are columns that were not found: fill in the name and take the # away.",
        "",
        "[photometry]  # the release of each survey, where it is not the archive's current one",
        '# gaia = "dr2"',
        '# ps1 = "pre-release"',
        "",
        "[columns]",
    ]
    for name, spec in schema.items():
        what = spec.description + (f" [{spec.unit}]" if spec.unit and not spec.any_unit else "")
        if name in choice.source:
            lines.append(f"{name} = {_quoted(choice.source[name])}  # {what}")
            continue
        alike = decorated(unused, (name, *spec.aliases))
        hint = f"; perhaps {' or '.join(map(repr, alike[:3]))}" if alike else ""
        lines.append(f'# {name} = ""  # {what}{hint}')
    lines += ["", "[units]  # of our columns, where the table states none"]
    lines += [f"{name} = {_quoted(unit)}" for name, unit in units.items()] or ['# parallax = "mas"']
    lines += ["", "[extra]  # further columns to carry through, under a name of your choice"]
    lines += [f"{_key(name)} = {_quoted(theirs)}" for name, theirs in choice.extra.items()]
    lines += ['# membership = "their_name"', ""]
    likely = photometric_names(unused)
    lines += [f"# Unused, and looking like photometry: {', '.join(likely)}"] if likely else []
    lines += [f"# Unused: {', '.join(other)}"] if (other := [n for n in unused if n not in likely]) else []
    return "\n".join(lines) + "\n"


def write_map(path: "str | Path", text: str) -> None:
    """Write a column map, which must not be there yet.

    Raises
    ------
    TableError
        If a file of that name exists, or it cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise TableError(
            f"--write-columns {path}: exists already; what you filled in would be lost. Choose another name."
        )
    try:
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise TableError(
            f"--write-columns {path} cannot be written: {problem.strerror or problem}."
        ) from None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)
