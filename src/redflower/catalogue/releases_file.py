"""The file of Gaia's releases, ``data/gaia_releases.toml``: read whole, every entry checked, mistakes said with their place."""

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Final, get_args

from redflower.catalogue.gaia_release import (
    ON,
    GaiaRelease,
    Join,
    ReleaseTable,
    Rule,
    SpectraService,
    ZeroPointRule,
)
from redflower.errors import InputError
from redflower.photometric_scales import releases as photometric_releases

_COLUMN: Final = re.compile(r"^(\w+)(?: AS (\w+))?$")


def data_file() -> Path:
    """Return the file that all this is read from."""
    return Path(str(resources.files("redflower"))) / "data" / "gaia_releases.toml"


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
    except (ValueError, RecursionError) as problem:
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
    """Entries of a TOML table, taken one by one; none may be left over."""

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
    schema, table = entries.take("schema", str, None), entries.take("table", str, None)
    columns = entries.texts("columns", ())
    for column in columns:
        if not re.fullmatch(r"\w+", column):
            raise InputError(f"{where}: columns: {column!r} is no column's name.")
    joins = tuple(
        _join(join, schema, f"{where} joins[{k}]")
        for k, join in enumerate(entries.take("joins", list, []), start=1)
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
        table=None if table is None else _qualified(table, schema, where),
        columns=columns,
        joins=joins,
        hats=entries.take("hats", str, None),
        excess_factor=entries.take("excess_factor", str, None),
        ask_first=entries.take("ask_first", bool, default=False),
        unconfirmed=entries.texts("unconfirmed", ()),
        spectra=_spectra(entries.take("spectra", dict, None), schema, f"{where} spectra"),
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


def _qualified(table: str, schema: str | None, where: str) -> str:
    """Return a table's name with its schema, the release's own if it names none."""
    if "." in table:
        return table
    if schema is None:
        raise InputError(f"{where}: table {table!r} names no schema, and the release has no entry 'schema'.")
    return f"{schema}.{table}"


def _join(content: Any, schema: str | None, where: str) -> Join:
    entries = _Entries(content, where)
    join = Join(
        entries.take("survey", str), _qualified(entries.take("table", str), schema, where), entries.take("as", str),
        entries.take("on", str), entries.texts("columns"), entries.take("if_asked", bool, default=False),
    )  # fmt: skip
    entries.close()
    found = ON.match(join.on)
    if found is None or [found.group(1), found.group(3)].count(join.alias) != 1:
        raise InputError(
            f"{where}: on must read ALIAS.COLUMN = ALIAS.COLUMN, one of them of {join.alias!r}; got {join.on!r}."
        )
    for column in join.columns:
        if not _COLUMN.match(column):
            raise InputError(f"{where}: columns must read NAME or NAME AS NAME; got {column!r}.")
    return join


def _spectra(content: Any, schema: str | None, where: str) -> SpectraService | None:
    if content is None:
        return None
    entries = _Entries(content, where)
    service = SpectraService(
        _qualified(entries.take("table", str), schema, where), entries.take("retrieval_type", str),
        entries.take("data_release", str),
    )  # fmt: skip
    entries.close()
    return service


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
