"""Which column of a user's table is which of ours: the column map, aliases, and helpful errors.

A column map is a TOML file::

    [columns]                     # our name = "their name"
    phot_g_mean_flux = "FLUX_G"

    [units]                       # of our columns, where the table states none
    parallax = "mas"

    [constants]                   # one value for every star, where the table has no such column
    astrometric_params_solved = 31

    [photometry]                  # the release of each survey, where it is not the archive's current one
    gaia = "dr2"

    [extra]                       # further columns to carry through under a name of your choice
    membership = "HDBscan_MemProb"
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redflower.bands import BANDS, READ_BY_DEFAULT
from redflower.catalogue.io.units import parse_unit
from redflower.catalogue.reading.lookalikes import CASE_TELLS, decorated, refuse_case_twins, refuse_lookalikes
from redflower.catalogue.reading.other_names import COMPANY, columns_named
from redflower.catalogue.reading.schema import INPUT_COLUMNS, InputColumn, input_columns
from redflower.catalogue.reading.suffixed import names_without_suffix
from redflower.catalogue.reading.suspects import unused_identifiers
from redflower.errors import InputError, TableError
from redflower.photometric_scales import make_scale
from redflower.survey import Survey

#: Columns with these beginnings pass through every step: the truths of a simulation, and the identifiers in another release.
PASSED_PREFIXES = ("true_", "dr3_source_id")

# Too short to match another case safely: `B` is as likely a magnitude as a latitude.
_EXACT_CASE_ONLY = ("l", "b")
# Shorter names of other archives mean what they mean in their own case alone.
_LETTERS_MIN = 5


@dataclass(frozen=True)
class ColumnMap:
    """The user's statements about a table; see the module's text for the file that holds them.

    ``surveys`` are those whose columns are looked for: of `redflower.catalogue.reading.schema.read_surveys`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    photometry: Mapping[str, str] = field(default_factory=dict)
    surveys: tuple[Survey, ...] = READ_BY_DEFAULT

    @property
    def schema(self) -> dict[str, InputColumn]:
        """The columns that are looked for, by name."""
        return input_columns(self.surveys)

    def __post_init__(self) -> None:
        if self.photometry:
            try:
                make_scale(self.photometry)
            except InputError as problem:
                raise InputError(f"column map: [photometry]: {problem}") from None
        for section in ("columns", "units", "constants"):
            for name in getattr(self, section):
                if name not in self.schema and not (section == "units" and name in self.extra):
                    raise InputError(
                        f"column map: [{section}] has the key {name!r}, which is no column of redflower."
                        f"{did_you_mean(name, self.schema)} Other columns can be carried along in [extra]."
                    )
        for section in ("columns", "units", "extra"):
            for name, value in getattr(self, section).items():
                if not isinstance(value, str):
                    raise InputError(
                        f"column map: [{section}] {name} must be a text in quotes; got {value!r}."
                    )
        for name, value in self.constants.items():
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise InputError(f"column map: [constants] {name} must be one number or text; got {value!r}.")
        for name, unit in self.units.items():
            try:
                parse_unit(unit)
            except ValueError as problem:
                raise InputError(
                    f"column map: [units] {name} = {unit!r} is no unit that astropy knows ({problem})."
                ) from None
        for name in self.extra:
            if name in self.schema:
                raise InputError(
                    f"column map: [extra] {name} is one of redflower's own columns; put it under [columns]."
                )
        twice = set(self.columns) & set(self.constants)
        if twice:
            raise InputError(
                f"column map: {_listed(twice)} stands under [columns] and [constants]; keep one of them."
            )
        ours_of: dict[str, str] = {}
        for name, theirs in self.columns.items():
            if theirs in ours_of:
                raise InputError(
                    f"column map: [columns] maps {theirs!r} to both {ours_of[theirs]!r} and {name!r}; "
                    "one column of the table can be only one of redflower's."
                )
            ours_of[theirs] = name


def read_column_map(path: "str | Path", surveys: tuple[Survey, ...] = READ_BY_DEFAULT) -> ColumnMap:
    """Read a column map from a TOML file.

    Parameters
    ----------
    path : the file.
    surveys : whose columns are looked for.

    Raises
    ------
    InputError
        If the file is absent, is not TOML, or states something that makes no sense.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as problem:
        raise InputError(f"column map {path} cannot be read: {problem.strerror or problem}.") from None
    except (ValueError, RecursionError) as problem:
        raise InputError(f"column map {path} is not valid TOML: {problem}.") from None
    sections = ("columns", "units", "constants", "extra", "photometry")
    for section, value in content.items():
        if section not in sections:
            raise InputError(
                f"column map {path}: unknown section or key {section!r}.{did_you_mean(section, sections)} "
                f"The sections are {_listed(sections)}."
            )
        if not isinstance(value, dict):
            raise InputError(f"column map {path}: {section!r} must be a section, written [{section}].")
    for section in sections:
        for name, value in content.get(section, {}).items():
            if isinstance(value, dict):
                raise InputError(
                    f"column map {path}: [{section}] {name} is nested; put a name with a dot in it in quotes."
                )
    try:
        return ColumnMap(**content, surveys=surveys)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None


@dataclass(frozen=True)
class ColumnChoice:
    """Which column of a table serves as which of ours.

    Attributes
    ----------
    source : our name -> name in the table, for schema columns that the table has.
    extra : our name -> name in the table, for columns carried through.
    notes : what a user should know, for instance which aliases were taken.
    """

    source: dict[str, str]
    extra: dict[str, str]
    notes: list[str]


_MAP_REMEDY = (
    'Say so in a column map (--columns MAP.toml), [columns] {name} = "{theirs}"; if it is another thing, name it under '
    "[extra], or remove it."
)


def choose_columns(names: Sequence[str], column_map: ColumnMap, where: str = "the table") -> ColumnChoice:
    """Match a table's column names with ours: the map first, then equal names, aliases, and other case.

    Raises
    ------
    TableError
        If a mapped column is not in the table, or two columns have one of our names but for their case.
    """
    if not column_map.columns and not column_map.extra:
        leading = BANDS[0].magnitude_column
        plain = names_without_suffix(names, _spellings(leading), {*_spellings("ra"), *_spellings("l")})
        if plain:
            return _with_suffixes(plain, names, column_map, where)
    present = set(names)
    source: dict[str, str] = {}
    notes: list[str] = []
    for section, mapped in (("columns", column_map.columns), ("extra", column_map.extra)):
        for name, theirs in mapped.items():
            if theirs not in present:
                raise TableError(
                    f"column map: [{section}] {name} = {theirs!r}, but the table has no column {theirs!r}."
                    f"{did_you_mean(theirs, names)}"
                )
    taken = set(column_map.columns.values())
    schema = column_map.schema
    known = _known_names(schema)
    settled = taken | set(column_map.extra.values())
    settled |= {theirs for theirs in names if theirs.lower() in column_map.columns}
    twins = [theirs for theirs in names if theirs.lower() in known and theirs.lower() not in _EXACT_CASE_ONLY]
    refuse_case_twins(twins, settled, where, _MAP_REMEDY)
    lower: dict[str, list[str]] = {}
    for theirs in names:
        lower.setdefault(theirs.lower(), []).append(theirs)
    for name, column in schema.items():
        if name in column_map.columns:
            source[name] = column_map.columns[name]
        elif name in column_map.constants:
            continue
        elif name in present and name not in taken:
            source[name] = name
        else:
            found = [theirs for alias in column.aliases for theirs in columns_named(alias, names)]
            if not found and name not in _EXACT_CASE_ONLY:
                others = [theirs for alias in _long_aliases(column) for theirs in lower.get(alias, ())]
                found = next((one for one in (lower.get(name, []), others) if len(one) == 1), [])
            found = [theirs for theirs in found if theirs not in taken and theirs not in schema]
            if found:
                source[name] = found[0]
                taken.add(found[0])
                notes.append(f"column {found[0]!r} is read as {name!r}")
    extra = dict(column_map.extra)
    covariances = {survey.covariance for survey in column_map.surveys}
    for theirs in names:
        if (theirs.startswith(PASSED_PREFIXES) or theirs in covariances) and theirs not in extra:
            extra[theirs] = theirs
    unused = [theirs for theirs in names if theirs not in {*source.values(), *extra.values()}]
    for name, theirs in source.items():
        spellings = (name, *schema[name].aliases)
        ignored = [other for other in unused if other in spellings] + decorated(unused, spellings)
        if ignored:
            notes.append(f"{theirs!r} is read as {name!r}; not used: {_listed(dict.fromkeys(ignored))}")
    return ColumnChoice(source, extra, notes)


def _spellings(name: str) -> tuple[str, ...]:
    """Return the names of one of our columns."""
    return (name, *INPUT_COLUMNS[name].aliases)


def _long_aliases(column: InputColumn) -> set[str]:
    """Return the other names of a column, in lower case, that mean it in any case: long ones that need no company."""
    aliases = {alias.lower() for alias in column.aliases if len(alias) >= _LETTERS_MIN or "_" in alias}
    return aliases - CASE_TELLS


def _with_suffixes(
    plain: Mapping[str, str], names: Sequence[str], column_map: ColumnMap, where: str
) -> ColumnChoice:
    """Choose among the columns of a table by their names without the suffixes that a cross-match gave them."""
    theirs = {plain.get(name, name): name for name in names}
    found = choose_columns(list(theirs), column_map, where)
    suffixes = sorted({name.removeprefix(short) for name, short in plain.items()})
    read = [
        note for note in found.notes if note.startswith("column ")
    ]  # the others name columns of the other tables
    note = f"every column has a suffix of a cross-match: {', '.join(suffixes)}; names are read without it"
    source, extra = (
        {ours: theirs[short] for ours, short in one.items()} for one in (found.source, found.extra)
    )
    return ColumnChoice(source, extra, [note, *read])


def check_lookalikes(
    names: Sequence[str], choice: ColumnChoice, column_map: ColumnMap, where: str
) -> str | None:
    """Refuse a table with a column that looks like one of ours and would be dropped, while ours is absent.

    Returns
    -------
    A sentence that names the columns that may be identifiers, if there are none by our name.

    Raises
    ------
    TableError
        With the names of both.
    """
    unused = [theirs for theirs in names if theirs not in {*choice.source.values(), *choice.extra.values()}]
    # Names that need company are another survey's without it: the line on the bands that were found lists them. But where G is
    # absent, `gmag` may be it.
    if BANDS[0].magnitude_column in choice.source:
        unused = [theirs for theirs in unused if theirs not in COMPANY]
    absent = {
        name: (name, *(alias for alias in spec.aliases if alias not in COMPANY))
        for name, spec in column_map.schema.items()
        # What serves a cut by name is missed where that cut is asked for, and nowhere else.
        if name not in choice.source
        and name not in column_map.constants
        and not spec.for_a_named_cut
        # Nor is the photometry of further surveys, which a table need not have.
        and spec.of_survey is None
    }
    if {"ra", "dec"} <= set(choice.source):  # Galactic coordinates are computed from them
        absent = {name: spellings for name, spellings in absent.items() if name not in _EXACT_CASE_ONLY}
    refuse_lookalikes(absent, unused, _known_names(column_map.schema), where, _MAP_REMEDY)
    passed = [theirs for theirs in choice.extra.values() if theirs not in column_map.extra.values()]
    return unused_identifiers(choice.source, unused, passed, where, _MAP_REMEDY)


def _known_names(schema: Mapping[str, InputColumn]) -> set[str]:
    """Return every name and alias of the schema, in lower case."""
    return {spelling.lower() for name, spec in schema.items() for spelling in (name, *spec.aliases)}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the nearest known name in a sentence with a leading space; empty if none is near."""
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not nearest:
        folded = {other.lower(): other for other in known}
        close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
        nearest = [folded[close[0]]] if close else []
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
