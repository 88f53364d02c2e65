"""Releases of Gaia: names of tables and columns, epoch, parallax zero point; read from ``data/gaia_releases.toml``.

What each entry means is said at the head of that file. Nothing else in redflower knows the name of a release's table.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, get_args

from redflower.errors import InputError
from redflower.photometric_scales import PhotometricScale, archive_scale, make_scale
from redflower.photometric_scales import releases as photometric_releases

Rule = Literal["lindegren2021", "column", "none"]

#: The survey of ``--surveys`` that always comes.
GAIA: Final = "gaia"
_ON: Final = re.compile(r"^(\w+)\.(\w+) = (\w+)\.(\w+)$")
_COLUMN: Final = re.compile(r"^(\w+)(?: AS (\w+))?$")


@dataclass(frozen=True)
class ZeroPointRule:
    """What is subtracted from the parallaxes of a release unless the user says otherwise.

    Attributes
    ----------
    rule, source : which rule, and where it is from.
    constant_mas : what the literature has for a release without a rule. [mas]
    median_range_mas : where the median of the release's own bias must lie. [mas]
    nulls_max : the largest share of parallaxes without a bias.
    """

    rule: Rule
    source: str
    constant_mas: float | None = None
    median_range_mas: tuple[float, float] = (-1.0, 1.0)
    nulls_max: float = 1.0


@dataclass(frozen=True)
class Join:
    """A table that is joined to Gaia's; see the head of the data file."""

    survey: str
    table: str
    alias: str
    on: str
    columns: tuple[str, ...]

    @property
    def needs(self) -> str:
        """The alias of the table that it is joined to."""
        return next(alias for alias, _ in self.key_columns() if alias != self.alias)

    def key_columns(self) -> tuple[tuple[str, str], ...]:
        """Return the two pairs of alias and column that must be equal."""
        found = _ON.match(self.on)
        assert found is not None  # checked when the file was read
        left, left_column, right, right_column = found.groups()
        return ((left, left_column), (right, right_column))


@dataclass(frozen=True)
class GaiaRelease:
    """A release of Gaia; see the head of the data file for what each entry means."""

    name: str
    title: str
    designations: tuple[str, ...]
    photometry: tuple[str, ...]
    epoch_yr: float
    zero_point: ZeroPointRule
    only: tuple[tuple[str, ...], ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    table: str | None = None
    columns: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()
    hats: str | None = None
    ask_first: bool = False
    unconfirmed: tuple[str, ...] = ()

    @property
    def surveys(self) -> tuple[str, ...]:
        """What can be fetched with it, Gaia first."""
        return (GAIA, *dict.fromkeys(join.survey for join in self.joins))

    def theirs(self, name: str) -> str:
        """Return the release's name of a column of redflower's."""
        return self.renamed.get(name, name)

    def ours(self, name: str) -> str:
        """Return redflower's name of a column of the release."""
        return next((ours for ours, theirs in self.renamed.items() if theirs == name), name)

    def joins_for(self, surveys: Iterable[str]) -> tuple[Join, ...]:
        """Return the joins for some surveys, with those that they lean on, in the order of the file."""
        wanted = set(surveys)
        by_alias = {join.alias: join for join in self.joins}
        chosen: set[str] = set()
        for join in self.joins:
            alias = join.alias if join.survey in wanted else "g"
            while alias != "g" and alias not in chosen:
                chosen.add(alias)
                alias = by_alias[alias].needs
        return tuple(join for join in self.joins if join.alias in chosen)

    def scale(self) -> PhotometricScale:
        """Return the photometric scale of the archives' tables with this release's Gaia magnitudes."""
        return make_scale({"gaia": self.photometry[0]}, default=archive_scale())


def releases() -> dict[str, GaiaRelease]:
    """Return the releases by name."""
    return _content().releases


def default_release() -> GaiaRelease:
    """Return the release that is fetched, and assumed of tables that do not tell."""
    return releases()[_content().default]


def release_named(name: str, *, to_fetch: bool = False) -> GaiaRelease:
    """Return a release by its name.

    Raises
    ------
    InputError : there is none, or, ``to_fetch``, its tables are not described.
    """
    known = [r.name for r in releases().values() if r.table is not None or not to_fetch]
    if name not in known:
        raise InputError(
            f"--release {name!r}: redflower knows {'the tables of ' if to_fetch else ''}{', '.join(known)}."
        )
    return releases()[name]


def release_of_photometry(gaia: str) -> GaiaRelease:
    """Return the release that magnitudes of a photometric release of Gaia, such as ``dr2-no-drift``, are from."""
    return next(release for release in releases().values() if gaia in release.photometry)


def other_names() -> dict[str, tuple[str, ...]]:
    """Return what releases call a column, by redflower's name, where the two differ."""
    found: dict[str, tuple[str, ...]] = {}
    for release in releases().values():
        for ours, theirs in release.renamed.items():
            found[ours] = tuple(dict.fromkeys((*found.get(ours, ()), theirs)))
    return found


def solution_bits() -> tuple[int, int]:
    """Return the bits of a fitted parallax and of a fitted pseudocolour."""
    return _content().parallax_bit, _content().pseudocolour_bit


def data_file() -> Path:
    """Return the file that all this is read from."""
    return Path(str(resources.files("redflower"))) / "data" / "gaia_releases.toml"


@dataclass(frozen=True)
class ReleaseTable:
    """The content of the data file."""

    default: str
    parallax_bit: int
    pseudocolour_bit: int
    releases: dict[str, GaiaRelease]


@cache
def _content() -> ReleaseTable:
    return read_releases(data_file())


def read_releases(path: Path) -> ReleaseTable:
    """Read a table of releases.

    Raises
    ------
    InputError : it is no TOML, lacks an entry, has one that is not known, or one that cannot be.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise InputError(f"{path} cannot be read: {problem.strerror or problem}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} is not valid TOML: {problem}.") from None
    top = _Entries(content, f"{path}")
    default, bits, found = top.take("default", str), top.take("bits", dict), top.take("releases", dict)
    top.close()
    bit = _Entries(bits, f"{path}: [bits]")
    parallax, pseudocolour = bit.take("parallax", int), bit.take("pseudocolour", int)
    bit.close()
    table = {name: _release(name, entries, f"{path}: [releases.{name}]") for name, entries in found.items()}
    if default not in table or table[default].table is None:
        raise InputError(
            f"{path}: default = {default!r} must be a release with a table; there are {', '.join(table)}."
        )
    homeless = set(photometric_releases("gaia")) - {scale for r in table.values() for scale in r.photometry}
    if homeless:
        raise InputError(f"{path}: no release has the photometry {', '.join(sorted(homeless))}.")
    return ReleaseTable(default, parallax, pseudocolour, table)


class _Entries:
    """Entries of a TOML table, taken one by one, of which none may be left over."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise InputError(f"{where} must be a table of entries; got {content!r}.")
        self._content, self._where, self._taken = content, where, set[str]()

    def take(self, name: str, kind: type, default: Any = ...) -> Any:
        self._taken.add(name)
        if name not in self._content:
            if default is ...:
                raise InputError(f"{self._where}: the entry {name!r} is needed.")
            return default
        value = self._content[name]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError(f"{self._where}: {name} must be of type {kind.__name__}; got {value!r}.")
        return value

    def texts(self, name: str, default: Any = ...) -> tuple[str, ...]:
        values = self.take(name, list, default)
        if not all(isinstance(value, str) for value in values):
            raise InputError(f"{self._where}: {name} must be a list of texts; got {values!r}.")
        return tuple(values)

    def close(self) -> None:
        unknown = sorted(set(self._content) - self._taken)
        if unknown:
            raise InputError(
                f"{self._where}: unknown entry {unknown[0]!r}; there are {', '.join(sorted(self._taken))}."
            )


def _release(name: str, content: Any, where: str) -> GaiaRelease:
    entries = _Entries(content, where)
    only = entries.take("only", list, [])
    renamed = entries.take("renamed", dict, {})
    table, columns = entries.take("table", str, None), entries.texts("columns", ())
    for column in columns:
        if not re.fullmatch(r"\w+", column):
            raise InputError(f"{where}: columns: {column!r} is no column's name.")
    joins = tuple(
        _join(join, f"{where} joins[{k}]") for k, join in enumerate(entries.take("joins", list, []), start=1)
    )
    release = GaiaRelease(
        name=name,
        title=entries.take("title", str),
        designations=entries.texts("designations"),
        photometry=entries.texts("photometry"),
        epoch_yr=entries.take("epoch_yr", float),
        zero_point=_zero_point(entries.take("zero_point", dict), f"{where} zero_point"),
        only=tuple(tuple(names) for names in only),
        renamed=renamed,
        table=table,
        columns=columns,
        joins=joins,
        hats=entries.take("hats", str, None),
        ask_first=entries.take("ask_first", bool, default=False),
        unconfirmed=entries.texts("unconfirmed", ()),
    )
    entries.close()
    known = photometric_releases("gaia")
    for scale in release.photometry or ("",):
        if scale not in known:
            raise InputError(f"{where}: photometry {scale!r} is not among {', '.join(known)}.")
    aliases = ["g"]
    for join in joins:
        if join.needs not in aliases or join.alias in aliases:
            raise InputError(
                f"{where}: the join of {join.table} must be to a table that stands before it ({', '.join(aliases)}), "
                f"under an alias of its own; got as = {join.alias!r}, on = {join.on!r}."
            )
        aliases.append(join.alias)
    return release


def _join(content: Any, where: str) -> Join:
    entries = _Entries(content, where)
    join = Join(
        entries.take("survey", str), entries.take("table", str), entries.take("as", str),
        entries.take("on", str), entries.texts("columns"),
    )  # fmt: skip
    entries.close()
    found = _ON.match(join.on)
    if found is None or [found.group(1), found.group(3)].count(join.alias) != 1:
        raise InputError(
            f"{where}: on must read ALIAS.COLUMN = ALIAS.COLUMN, one of them of {join.alias!r}; got {join.on!r}."
        )
    for column in join.columns:
        if not _COLUMN.match(column):
            raise InputError(f"{where}: columns must read NAME or NAME AS NAME; got {column!r}.")
    return join


def _zero_point(content: Any, where: str) -> ZeroPointRule:
    entries = _Entries(content, where)
    rule = ZeroPointRule(
        rule=entries.take("rule", str),
        source=entries.take("source", str),
        constant_mas=entries.take("constant_mas", float, None),
        median_range_mas=tuple(entries.take("median_range_mas", list, [-1.0, 1.0])),
        nulls_max=entries.take("nulls_max", float, 1.0),
    )
    entries.close()
    if rule.rule not in get_args(Rule):
        raise InputError(f"{where}: rule must be one of {', '.join(get_args(Rule))}; got {rule.rule!r}.")
    low_high = rule.median_range_mas
    if (
        len(low_high) != 2
        or not all(isinstance(x, (int, float)) for x in low_high)
        or not low_high[0] < low_high[1]
    ):
        raise InputError(f"{where}: median_range_mas must be two numbers that rise; got {list(low_high)!r}.")
    return rule


def name_of(column: str) -> str:
    """Return the name in the archive of a column of a join, ``NAME AS OURS`` or ``NAME``."""
    return column.partition(" AS ")[0]
