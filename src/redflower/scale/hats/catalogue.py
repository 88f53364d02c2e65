"""From the files of finished partitions to a HATS catalogue: its metadata, its map of the sky, and its checksum."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from redflower.catalogue.io.hats import PROPERTIES, SPATIAL_INDEX
from redflower.catalogue.io.parquet import with_meta
from redflower.errors import InputError, WorkerError
from redflower.files import is_there
from redflower.provenance import META_KEY, VERSION
from redflower.scale.hats.source import HatsInput, path_in_catalogue

#: The sky is counted in pixels of the deepest partition's order, within these. [order]
_MAP_ORDERS: Final = (8, 10)
#: Order of the spatial index.
_INDEX_ORDER: Final = 29


def write_catalogue(
    folder: Path, source: HatsInput, numbers: Sequence[int], provenance: dict[str, Any], stated: dict[str, str], name: str
) -> None:  # fmt: skip
    """Write what makes a HATS catalogue of partitions: schema, list of partitions, map of the sky, properties.

    Parameters
    ----------
    folder : that holds ``dataset`` with the partitions.
    source : from which they were made.
    numbers : of the partitions that have rows.
    provenance : of the whole.
    stated : further properties.
    name : of the catalogue.

    Raises
    ------
    WorkerError : a partition has other columns than the others.
    """
    import hats.io
    from hats.catalog import PartitionInfo
    from hats.io.skymap import write_skymap
    from hats.pixel_math import HealpixPixel

    pixels = [HealpixPixel(*source.pixels[number]) for number in numbers]
    files = [folder / path_in_catalogue(source.pixels[number]) for number in numbers]
    order = int(np.clip(max(pixel.order for pixel in pixels), *_MAP_ORDERS))
    schema = pq.read_schema(files[0])
    counts = np.zeros(12 * 4**order, dtype=np.int64)
    rows = []
    for file in files:
        if not pq.read_schema(file).equals(schema):
            raise WorkerError(
                f"{file} has other columns than {files[0]}: the partitions of the input differ. Write the input again, with one "
                "schema."
            )
        index = pq.ParquetFile(file).read(columns=[SPATIAL_INDEX]).column(0).to_numpy()
        places, n = np.unique(index >> (2 * (_INDEX_ORDER - order)), return_counts=True)
        counts[places] += n
        rows.append(len(index))
    hats.io.write_parquet_metadata(folder)
    pq.write_metadata(with_meta(schema, {META_KEY: provenance}), folder / "dataset" / "_common_metadata")
    partitions = PartitionInfo(pixels)
    partitions.write_to_file(folder / "partition_info.csv")
    write_skymap(histogram=counts, catalog_dir=folder, orders=None)
    info = source.catalog.hc_structure.catalog_info.copy_and_update(
        catalog_name=name, total_rows=int(sum(rows)), ra_column="ra", dec_column="dec", default_columns=None,
        healpix_column=SPATIAL_INDEX, healpix_order=_INDEX_ORDER, npix_suffix=".parquet", hats_max_rows=int(max(rows)),
        hats_max_bytes=None, skymap_order=order, skymap_alt_orders=None,
        moc_sky_fraction=float(f"{partitions.calculate_fractional_coverage():.5g}"),
        hats_order=int(partitions.get_highest_order()), hats_estsize=sum(f.stat().st_size for f in files) // 1024,
        hats_builder=f"redflower {VERSION}, hats v{hats.__version__}", hats_creation_date=_now(),
        prov_progenitor=source.reader.where, **stated,
    )  # fmt: skip
    info.to_properties_file(folder)


def check_new_catalogue(out: Path, what: str, *, overwrite: bool) -> None:
    """Refuse, before any work, a name for a catalogue under which something is there, or where nothing can be written.

    Parameters
    ----------
    out : folder to be made.
    what : the command, for messages.
    overwrite : whether a HATS catalogue that is there may be replaced.

    Raises
    ------
    InputError
        With the reason.
    """
    if not out.parent.is_dir():
        raise InputError(f"{what}: {out} cannot be made: there is no folder {out.parent}. Make it first.")
    if not is_there(out):
        return
    if not overwrite:
        raise InputError(f"{what}: {out} exists already; choose another name, or remove it first.")
    if not is_catalogue(out):
        raise InputError(
            f"{what}: {out} is no HATS catalogue, and is not replaced by one. Choose another name."
        )


def is_catalogue(folder: Path) -> bool:
    """Tell whether a folder is a HATS catalogue of its own, and not a link to one."""
    return folder.is_dir() and not folder.is_symlink() and any((folder / one).is_file() for one in PROPERTIES)


def partitions_alone(folder: Path, kept: Collection[Path]) -> None:
    """Remove from a folder all files but some partitions: metadata, and what a process that was killed was writing.

    Parameters
    ----------
    folder : of a catalogue in the making.
    kept : files of its partitions.
    """
    for path in [one for one in folder.rglob("*") if one.is_file() and one not in kept]:
        path.unlink(missing_ok=True)


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M%Z")
