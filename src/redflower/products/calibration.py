"""The folder of a calibration."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table

from redflower.products.folder import write_folder
from redflower.provenance import META_KEY


def write_calibration(stars: Table, numbers: dict[str, Any], folder: Path) -> None:
    """Write the folder: ``offsets.json`` (which `infer --offsets` takes), ``offsets.ecsv``, ``stars.parquet``, figures, page."""
    stars.meta[META_KEY] = {
        "stage": "calibration",
        **numbers["provenance"],
        "model": {"id": numbers["model"]},
    }
    write_folder(
        folder,
        "calibration",
        {"offsets.json": numbers},
        {"stars.parquet": stars, "offsets.ecsv": offsets_table(numbers)},
    )


def offsets_table(numbers: dict[str, Any]) -> Table:
    """Return the offsets as a table, a row per band."""
    table = Table({"band": numbers["bands"]})
    for name, text in (
        ("offset_mag", "sample minus model"),
        ("error_mag", "standard error"),
    ):
        table[name] = Column(np.array(numbers[name]), unit="mag", description=text)
    table.meta[META_KEY] = {"stage": "offsets", **numbers["provenance"], "model": {"id": numbers["model"]}}
    return table
