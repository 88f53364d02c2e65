"""`redflower columns`."""

from pathlib import Path
from typing import Annotated

import typer


def columns(
    table: Annotated[
        Path | None,
        typer.Argument(
            help="A table of stars: say which of its columns are known; without, list all columns"
        ),
    ] = None,
    write_columns: Annotated[
        Path | None, typer.Option(help="TOML file to write: a column map of TABLE to fill in")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The list as the page of the documentation")
    ] = False,
) -> None:
    """List the columns that are read and written, with units; or say which of a table's columns are known."""
    from redflower.errors import InputError
    from redflower.products.columns import columns_page, input_rows, output_rows

    if table is not None:
        _of_table(table, write_columns)
        return
    if write_columns is not None:
        raise InputError(
            "--write-columns writes a column map of a table: redflower columns TABLE --write-columns MAP.toml."
        )
    if markdown:
        typer.echo(columns_page(), nl=False)
        return
    typer.echo("Read by prepare (name [unit]: what; without it; other names):")
    for name, unit, what, without, others in input_rows():
        lost = "required" if without.startswith("*") else f"without: {without}"
        typer.echo(
            f"  {name}{f' [{unit}]' if unit else ''}: {what}; {lost}{f'; also called {others}' if others else ''}"
        )
    typer.echo("Written by infer (name [unit]: what):")
    for name, unit, what in output_rows():
        typer.echo(f"  {name}{f' [{unit}]' if unit else ''}: {what}")


def _of_table(table: Path, write_columns: Path | None) -> None:
    """Say which columns of a table are known, and which look as if they should be."""
    from redflower.catalogue.reading.bands_found import bands_found, bands_line
    from redflower.catalogue.reading.reader import known_columns
    from redflower.catalogue.reading.reader import write_columns as write_map

    names, choice = known_columns(table)
    for ours, theirs in choice.source.items():
        typer.echo(f"  {ours}" + ("" if ours == theirs else f": {theirs!r}"))
    unused = [name for name in names if name not in {*choice.source.values(), *choice.extra.values()}]
    line, _ = bands_line(choice.source, unused)
    typer.echo(line or f"{len(bands_found(choice.source))} bands found: all")
    typer.echo(f"not used: {', '.join(unused) or 'none'}")
    if write_columns is not None:
        write_map(table, write_columns)
        typer.echo(f"a column map to fill in is in {write_columns}")
