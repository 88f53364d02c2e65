"""How columns are shown and called by other programs: digits that mean something, and UCDs for VOTables."""

import re
from typing import Any, Final

from astropy.table import Table

#: Format of numbers by unit; of others by their size.
_FORMATS: Final = {"mag": ".4f", "pc": ".1f", "deg": ".6f", "mas": ".4f"}
_OTHER_FORMAT: Final = ".4g"

#: Words of UCD1+ by the name of a column, the first pattern that fits (https://www.ivoa.net/documents/UCD1+/).
_UCDS: Final[tuple[tuple[str, str], ...]] = (
    (r"source_id", "meta.id;meta.main"),
    (r"ra", "pos.eq.ra;meta.main"),
    (r"dec", "pos.eq.dec;meta.main"),
    (r"l", "pos.galactic.lon"),
    (r"b", "pos.galactic.lat"),
    (r"parallax", "pos.parallax"),
    (r"parallax_error", "stat.error;pos.parallax"),
    (r"parallax_residual", "stat.fit.residual;pos.parallax"),
    (r"ebv_distance_corr", "stat.correlation;phot.color.excess;pos.distance"),
    (r"(prior_)?ebv_(mean)", "phot.color.excess;stat.mean"),
    (r"ebv_q50", "phot.color.excess;stat.median"),
    (r"ebv_std", "stat.stdev;phot.color.excess"),
    (r"(true_ebv|ebv_.*|prior_ebv_.*)", "phot.color.excess"),
    (r"distance_mean", "pos.distance;stat.mean"),
    (r"distance_q50", "pos.distance;stat.median"),
    (r"distance_std", "stat.stdev;pos.distance"),
    (r"(true_distance|distance_.*|r_..._?geo|r_.._geo)", "pos.distance"),
    (r"log_evidence", "stat.likelihood"),
    (r"p_fit", "stat.probability"),
    (r"p_outlier", "stat.probability"),
    (r"(status|flags|zero_point_status|quality_flags)", "meta.code"),
    (r"(model|engine|bands)", "meta.note"),
    (r"(gaia|ps1|tmass)_[a-z]+", "phot.mag"),
    (r"(gaia|ps1|tmass)_[a-z]+_error", "stat.error;phot.mag"),
)


def with_formats(table: Table) -> Table:
    """Give a table's float columns formats in which astropy shows them; their values stay as they are.

    Whoever prints a table sees 0.0876 and not 0.08759346604347229. `redflower.write_table` writes every digit; astropy's own
    writers of text use the formats.
    """
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "f" and column.info.format is None:
            column.info.format = _FORMATS.get(str(column.unit), _OTHER_FORMAT)
    return table


def without_formats(table: Table) -> None:
    """Take the formats off, so that writers of text write every digit."""
    for name in table.colnames:
        table[name].info.format = None


def ucd_of(name: str) -> str | None:
    """Return the UCD of a column of redflower's; None for others."""
    return next((ucd for pattern, ucd in _UCDS if re.fullmatch(pattern, name)), None)


def add_ucds(table: Any) -> None:
    """Add UCDs to the fields of a VOTable.

    Parameters
    ----------
    table : an `astropy.io.votable.tree.TableElement`.
    """
    for field in table.fields:
        field.ucd = field.ucd or ucd_of(field.name)
