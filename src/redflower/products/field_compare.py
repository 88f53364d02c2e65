"""A map of a field beside another map of the dust: slope, offset, scatter and residuals, on one scale and at one resolution."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import Column, Table
from jaxtyping import Float, Int

from redflower.catalogue import open_dust_map, write_table
from redflower.errors import InputError
from redflower.products.compare import short_name, source_and_factor
from redflower.products.field_map import FieldMap
from redflower.products.healpix import pixel_centres_deg

#: Resolution at which maps are compared by default: 0.92 deg, the coarsest of the maps that are in use.
NSIDE: Final = 64
#: An area enters if the map of the field covers more than this share of it.
_COVERED: Final = 0.7
#: Fewer areas than this tell no slope.
MIN_AREAS: Final = 5


@dataclass(frozen=True)
class MapComparison:
    """What a map of a field has in common with another map.

    Attributes
    ----------
    name : of the other map, with the factor that made E(B-V) of it.
    distance_pc : out to which the field's E(B-V) was taken. [pc]
    nside : at which both were averaged.
    pixel : areas that are compared, nested.
    map_mag, ebv_mag, ebv_std_mag : the other map; mean and standard deviation of the field's. [mag]
    slope, offset_mag : of the line ebv = offset + slope * map, fitted to every sample: mean and standard deviation.
    """

    name: str
    distance_pc: float
    nside: int
    pixel: Int[np.ndarray, " pixel"]
    map_mag: Float[np.ndarray, " pixel"]
    ebv_mag: Float[np.ndarray, " pixel"]
    ebv_std_mag: Float[np.ndarray, " pixel"]
    slope: tuple[float, float]
    offset_mag: tuple[float, float]

    @property
    def residual_mag(self) -> Float[np.ndarray, " pixel"]:
        """What is left of the field's E(B-V) once the line is taken off. [mag]"""
        return self.ebv_mag - self.offset_mag[0] - self.slope[0] * self.map_mag

    @property
    def scatter_mag(self) -> float:
        """Scatter of the residuals. [mag]"""
        return float(self.residual_mag.std())

    @property
    def correlation(self) -> float:
        """Correlation of the two maps over the areas."""
        return float(np.corrcoef(self.map_mag, self.ebv_mag)[0, 1])

    def sentence(self) -> str:
        """Say what was found."""
        return (
            f"against {self.name}, {len(self.pixel)} areas of nside {self.nside}, out to {self.distance_pc:.0f} pc: slope "
            f"{self.slope[0]:.2f} +- {self.slope[1]:.2f}, offset {self.offset_mag[0]:+.4f} +- {self.offset_mag[1]:.4f} mag, "
            f"scatter {self.scatter_mag:.4f} mag, correlation {self.correlation:.2f}"
        )

    def table(self) -> Table:
        """Return both maps and the residuals, a row for each area, with units."""
        l_deg, b_deg = pixel_centres_deg(self.nside, self.pixel)
        found = Table({"pixel": self.pixel})
        for name, values, unit, text in (
            ("l", l_deg, "deg", "Galactic longitude of the area's centre"),
            ("b", b_deg, "deg", "Galactic latitude of the area's centre"),
            ("map", self.map_mag, "mag", f"E(B-V) of {self.name}"),
            ("ebv", self.ebv_mag, "mag", f"E(B-V) of the field out to {self.distance_pc:.0f} pc"),
            ("ebv_std", self.ebv_std_mag, "mag", "its standard deviation"),
            ("residual", self.residual_mag, "mag", "ebv - offset - slope * map"),
        ):
            found[name] = Column(values, unit=unit, description=text)
        found.meta["nside"] = self.nside
        for name in ("slope", "offset_mag"):
            found.meta[name], found.meta[f"{name}_std"] = getattr(self, name)
        return found


def compare_with_map(
    field: FieldMap,
    source: "str | Path",
    *,
    scale: float = 1.0,
    distance_pc: float | None = None,
    nside: int = NSIDE,
) -> MapComparison:
    """Compare a map of a field with another map of the whole column of dust.

    The other map's own noise makes the slope too flat; it is not known and not corrected.

    Parameters
    ----------
    field : the map.
    source : a HEALPix file, or a map of the package dustmaps, as ``dustmaps:sfd``.
    scale : values times this are E(B-V) in mag.
    distance_pc : one of the field's distances. If None, the farthest at which it is known everywhere. [pc]
    nside : at which both maps are averaged, no finer than the field's.

    Raises
    ------
    InputError
        If the map is none, fewer than five areas have both, or the distance or nside is none of the field's.
    """
    if nside > field.nside or nside < 1 or nside & (nside - 1):
        raise InputError(
            f"a comparison needs nside as a power of 2 up to {field.nside}, that of the field; got {nside}."
        )
    known = np.flatnonzero(np.isfinite(field.samples_mag).all(axis=(0, 1)))
    asked = field.distance_pc[known[-1]] if distance_pc is None else distance_pc
    at = np.flatnonzero(np.isclose(field.distance_pc, asked))
    if not len(at):
        raise InputError(
            f"the field has no distance {asked:.0f} pc; it has {', '.join(f'{d:.0f}' for d in field.distance_pc)}."
        )
    dust = open_dust_map(source, scale=scale)
    l_deg, b_deg = field.centres_deg()
    icrs = field.coordinates().icrs
    other = dust.lookup(np.asarray(icrs.ra.deg), np.asarray(icrs.dec.deg), l_deg, b_deg)
    samples = field.samples_mag[:, :, at[0]]
    both = np.isfinite(other) & np.isfinite(samples).all(axis=0)
    pixel, row, count = np.unique(
        field.pixel[both] // (field.nside // nside) ** 2, return_inverse=True, return_counts=True
    )
    whole = count > _COVERED * (field.nside // nside) ** 2
    if whole.sum() < MIN_AREAS:
        raise InputError(
            f"{source}: {whole.sum()} areas of nside {nside} are covered by both maps; a comparison needs {MIN_AREAS}. "
            "Take a finer nside, or a larger field."
        )

    def means(values: np.ndarray) -> np.ndarray:
        return (np.bincount(row, values) / count)[whole]

    x = means(other[both])
    drawn = np.stack([means(one) for one in samples[:, both].astype(float)])
    centred = x - x.mean()
    slope = drawn @ centred / max(float(centred @ centred), 1e-30)
    offset = drawn.mean(axis=1) - slope * x.mean()
    return MapComparison(
        name=f"{source} times {dust.scale:.4g}",
        distance_pc=float(field.distance_pc[at[0]]),
        nside=nside,
        pixel=pixel[whole],
        map_mag=x,
        ebv_mag=drawn.mean(axis=0),
        ebv_std_mag=drawn.std(axis=0),
        slope=(float(slope.mean()), float(slope.std())),
        offset_mag=(float(offset.mean()), float(offset.std())),
    )


@dataclass(frozen=True)
class MapToCompare:
    """Another map, as the user names it.

    Attributes
    ----------
    said : what was given.
    file : a HEALPix file, or a map of the package dustmaps, as ``dustmaps:sfd``.
    scale : values times this are E(B-V) in mag.
    table : the file for the residuals.
    """

    said: str
    file: str
    scale: float
    table: Path


def maps_to_compare(sources: Sequence[str], out: Path) -> tuple[MapToCompare, ...]:
    """Take sources apart, before the work of the map begins.

    Parameters
    ----------
    sources : as ``FILE`` or ``FILE*FACTOR``.
    out : path of the field's map, beside which the residuals go.

    Raises
    ------
    InputError : a factor is not a number.
    """
    parts = [(said, *source_and_factor(said, said, "FILE*FACTOR")) for said in sources]
    return tuple(
        MapToCompare(
            said,
            file,
            1.0 if factor is None else factor,
            out.with_name(f"{out.stem}.{short_name(file)}.ecsv"),
        )
        for said, file, factor in parts
    )


def compare_and_write(field: FieldMap, maps: Sequence[MapToCompare], *, overwrite: bool = False) -> list[str]:
    """Compare a field's map with others, write a table of each beside the map, and return what was found in words.

    Parameters
    ----------
    field : the map.
    maps : the others, of `maps_to_compare`.
    overwrite : whether to replace tables that are there.
    """
    said = []
    for one in maps:
        try:
            found = compare_with_map(field, one.file, scale=one.scale, nside=min(NSIDE, field.nside))
            write_table(found.table(), one.table, overwrite=overwrite)
        except InputError as problem:
            # The map has taken minutes and is written: a comparison that cannot be made does not undo that.
            said.append(f"no comparison with {one.said}: {problem}")
            continue
        said.append(f"{found.sentence()}; residuals in {one.table}")
    return said
