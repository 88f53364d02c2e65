"""The columns of a prepared table, put together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Column, Table
from jaxtyping import Bool, Float, Int

from redflower.catalogue.prepared import PASSED_ON, prepared_error_name
from redflower.catalogue.quality.cuts import Photometry
from redflower.catalogue.quality.named_cuts import QUALITY_FLAGS, QUALITY_FLAGS_TEXT
from redflower.catalogue.quality.zero_point import ParallaxZeroPoint
from redflower.catalogue.reading.schema import INPUT_COLUMNS, InputColumn

_POSITION = ("source_id", "ra", "dec", "l", "b")


def without_used_up(raw: Table, keep: Sequence[str], schema: Mapping[str, InputColumn]) -> Table:
    """Keep the raw columns that the prepared table still needs: the others weigh gigabytes for millions of stars."""
    return Table(
        [raw[name] for name in raw.colnames if name in (*_POSITION, *PASSED_ON, *keep) or name not in schema],
        meta=raw.meta,
        copy=False,
    )


def assembled_table(
    raw: Table,
    keep: Bool[np.ndarray, " star"],
    bands: Photometry,
    parallax_mas: Float[np.ndarray, " star"],
    parallax_error_mas: Float[np.ndarray, " star"],
    zero: ParallaxZeroPoint,
    ebv_map_mag: Float[np.ndarray, " star"] | None,
    flags: Int[np.ndarray, " star"] | None,
) -> Table:
    """Assemble the prepared table of the stars that are kept."""
    table = Table()

    def add(name: str, values: Any, unit: str | None, description: str) -> None:
        column = Column(np.asarray(values)[keep], name=name, unit=unit, description=description)
        table.add_column(column, copy=False)

    for name in _POSITION:
        spec = INPUT_COLUMNS[name]
        add(name, raw[name], spec.unit, spec.description)
    add("parallax", parallax_mas, "mas", "parallax, zero point removed")
    add("parallax_error", parallax_error_mas, "mas", "standard error of the parallax")
    add("parallax_zero_point", zero.zero_point_mas, "mas", "zero point removed from the parallax")
    add(
        "zero_point_status",
        zero.status,
        None,
        "0 Lindegren et al. 2021, 1 the same at the edge of its range, 2 constant, 3 none, 4 no parallax, 5 the release's own",
    )
    for i, band in enumerate(bands.bands):
        what = f"{band.label} ({band.survey}, {band.system})"
        add(band.name, bands.magnitude_mag[:, i], "mag", f"apparent magnitude in {what}")
        add(
            prepared_error_name(band),
            bands.error_mag[:, i],
            "mag",
            f"standard error in {what}, {band.error_floor_mag:g} mag added in quadrature",
        )
    if ebv_map_mag is not None:
        add("ebv_map", ebv_map_mag, "mag", "E(B-V) of the dust map towards the star")
    if flags is not None:
        add(QUALITY_FLAGS, flags, None, QUALITY_FLAGS_TEXT)
    others = [
        name
        for name in raw.colnames
        if name in PASSED_ON or name not in INPUT_COLUMNS or name not in table.colnames
    ]
    for name in sorted(others, key=lambda name: name not in PASSED_ON):
        table.add_column(raw[name][keep], name=name, copy=False)
    return table
