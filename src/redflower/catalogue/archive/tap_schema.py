"""Whether a service has what a release is said to have: its TAP_SCHEMA is asked before anything is fetched."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from redflower.catalogue.archive.adql import asked_columns
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.archive.tap import TapService
from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.releases_file import data_file

#: A table of Gaia has some hundred columns; all that are asked about have fewer than this.
_ROWS_MAX: Final = 50_000
#: So many tables that a missing one may be are named.
_ALIKE: Final = 3


def check_names(service: TapService, release: GaiaRelease, surveys: tuple[str, ...], scratch: Path) -> None:
    """Ask a service for every name that `redflower.catalogue.archive.adql.tile_query` uses.

    Parameters
    ----------
    service : to ask.
    release, surveys : what is to be fetched.
    scratch : file for the answer while it is checked; removed afterwards.

    Raises
    ------
    RefusedError
        If a table or a column is not there; the message lists all that are missing.
    FetchError
        If the service does not answer.
    """
    spelled = asked_columns(release, surveys)
    asked = {_plain(table): columns for table, columns in spelled.items()}
    # Services list a table whose name needs quotes with them or without.
    listed = ", ".join(f"'{table}'" for table in dict.fromkeys([*spelled, *asked]))
    answer = service.table(
        f"SELECT c.table_name, c.column_name FROM TAP_SCHEMA.columns AS c WHERE c.table_name IN ({listed})",
        max_rows=_ROWS_MAX,
        scratch=scratch,
    )
    there: dict[str, set[str]] = {}
    for table, column in zip(_words(answer["table_name"]), _words(answer["column_name"]), strict=True):
        there.setdefault(table, set()).add(column)
    lines = []
    absent = [table for table in asked if table not in there]
    tables = _all_tables(service, scratch) if absent else []
    for table, columns in asked.items():
        if table not in there:
            lines.append(f"  {table}: no such table{_alike(table, tables)}; asked for {', '.join(columns)}")
            continue
        missing = [column + _alike(column, there[table]) for column in columns if column not in there[table]]
        if missing:
            lines.append(f"  {table}: no column {', '.join(missing)}")
    if lines:
        unconfirmed = "".join(f"\n  {line}" for line in release.unconfirmed)
        why = f"\nNot confirmed of {release.title} so far:{unconfirmed}" if unconfirmed else ""
        raise RefusedError(
            f"{service.url} has not all that redflower asks of {release.title}, and nothing is fetched. It lacks:\n"
            + "\n".join(lines)
            + f'{why}\nCorrect the names under [releases.{release.name}] in {data_file()} (docs/howto/surveys.md, "On the day of '
            'a release"), or leave a survey out by --surveys.'
        )


def _all_tables(service: TapService, scratch: Path) -> list[str]:
    answer = service.table(
        "SELECT t.table_name FROM TAP_SCHEMA.tables AS t", max_rows=_ROWS_MAX, scratch=scratch
    )
    return _words(answer["table_name"])


def _words(column: Iterable[object]) -> list[str]:
    return [_plain(str(word)) for word in column]


def _plain(name: str) -> str:
    return name.strip().replace('"', "").lower()


def _alike(name: str, known: Iterable[str]) -> str:
    """Suggest, in brackets, names that the missing one may have become."""
    bare = name.rpartition(".")[2]
    known = sorted(known)
    same = [other for other in known if other.rpartition(".")[2] == bare]
    found = list(dict.fromkeys([*same, *difflib.get_close_matches(name, known, n=_ALIKE, cutoff=0.75)]))
    return f" (there is {', '.join(found[:_ALIKE])})" if found else ""
