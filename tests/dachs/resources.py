"""The made archive as resource descriptors and FITS files for DaCHS, the GAVO data centre suite."""

from pathlib import Path

import numpy as np
from astropy.table import Table

_TYPES = {"i2": "smallint", "i4": "integer", "i8": "bigint", "f4": "real", "f8": "double precision"}
#: Keys by which the tables are joined, for which the archive has an index.
_INDEXED = {"source_id", "obj_id", "designation", "clean_tmass_psc_xsc_oid"}

_RD = """<resource schema="{schema}" resdir="{folder}">
  <meta name="title">Made {schema}</meta>
  <meta name="description">Made-up stars in the tables of the Gaia archive.</meta>
  <meta name="creationDate">2026-01-01T00:00:00Z</meta>
  <meta name="subject">surveys</meta>
  <meta name="creator.name">redflower</meta>
{tables}
{imports}
</resource>
"""
_TABLE = """  <table id="{name}" onDisk="True" adql="True">
{indices}
{columns}
  </table>"""
_IMPORT = """  <data id="import_{name}">
    <sources>{name}.fits</sources>
    <fitsTableGrammar/>
    <make table="{name}"><rowmaker idmaps="*"/></make>
  </data>"""


def write_resources(tables: dict[str, Table], inputs: Path) -> list[str]:
    """Write a folder for each schema below DaCHS's inputs; the names of the descriptors, for ``dachs import``."""
    by_schema: dict[str, dict[str, Table]] = {}
    for full_name, table in tables.items():
        schema, name = full_name.split(".")
        by_schema.setdefault(schema, {})[name] = table
    names = []
    for schema, members in by_schema.items():
        folder = inputs / schema
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in members.items():
            bare = Table({c: np.asarray(table[c]) for c in table.colnames})
            bare.write(folder / f"{name}.fits", overwrite=True)
        (folder / "q.rd").write_text(
            _RD.format(
                schema=schema,
                folder=schema,
                tables="\n".join(_table(name, table) for name, table in members.items()),
                imports="\n".join(_IMPORT.format(name=name) for name in members),
            )
        )
        names.append(f"{schema}/q")
    return names


def _table(name: str, table: Table) -> str:
    columns = []
    for column in table.colnames:
        dtype = np.asarray(table[column]).dtype
        kind = "text" if dtype.kind == "U" else _TYPES[dtype.str[1:]]
        unit = (
            str(table[column].unit or "")
            .replace(" ", "")
            .replace("electron/s", "s**-1")
            .replace("1/um", "um**-1")
        )
        values = (
            '><values nullLiteral="-32768"/></column>' if kind in ("smallint", "integer", "bigint") else "/>"
        )
        ucd = {"ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main"}.get(column, "")
        columns.append(
            f'    <column name="{column}" type="{kind}" unit="{unit}" ucd="{ucd}" description="Made-up values."{values}'
        )
    indices = "\n".join(f'    <index columns="{c}"/>' for c in table.colnames if c in _INDEXED)
    return _TABLE.format(name=name, columns="\n".join(columns), indices=indices)
