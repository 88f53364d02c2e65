"""Stars counted in cells of sky, G and colour, from which a selection function is made."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix
from jaxtyping import Bool, Float, Int

from redflower.errors import InputError

if TYPE_CHECKING:
    from redflower.physics import SelectionFunction


#: Default edges; colours outside count in the outermost cells. [mag]
G_RP_EDGES_MAG: Final = (-0.2, 0.3, 0.5, 0.7, 0.9, 1.1, 1.4)
G_STEP_MAG: Final = 0.5
#: HEALPix level of the positions unless asked otherwise: 54 square degrees.
ORDER: Final = 3


@dataclass(frozen=True)
class SelectionCounts:
    """Stars of a parent catalogue and of a sample of it, in cells.

    Attributes
    ----------
    parent, sample : counts, shape (pixel, g, g_rp).
    g_edges_mag, g_rp_edges_mag : edges of the cells, rising. [mag]
    nside : HEALPix resolution, nested, ICRS.
    """

    parent: Int[np.ndarray, "pixel g g_rp"]
    sample: Int[np.ndarray, "pixel g g_rp"]
    g_edges_mag: Float[np.ndarray, " g_edge"]
    g_rp_edges_mag: Float[np.ndarray, " g_rp_edge"]
    nside: int

    def __post_init__(self) -> None:
        shape = (12 * self.nside**2, len(self.g_edges_mag) - 1, len(self.g_rp_edges_mag) - 1)
        if self.parent.shape != shape or self.sample.shape != shape:
            raise InputError(
                f"selection counts must have the shape (pixel, g, g_rp) = {shape}; they have {self.parent.shape} and "
                f"{self.sample.shape}."
            )
        if (self.sample < 0).any() or (self.sample > self.parent).any():
            raise InputError("a sample cannot hold more stars of a cell than its parent catalogue does.")


def count_stars(
    ra_deg: Float[np.ndarray, " star"],
    dec_deg: Float[np.ndarray, " star"],
    g_mag: Float[np.ndarray, " star"],
    g_rp_mag: Float[np.ndarray, " star"],
    selected: Bool[np.ndarray, " star"],
    *,
    g_bright_mag: float,
    g_faint_mag: float,
    order: int = ORDER,
    g_step_mag: float = G_STEP_MAG,
    g_rp_edges_mag: tuple[float, ...] = G_RP_EDGES_MAG,
) -> SelectionCounts:
    """Count a parent catalogue and the sample drawn from it.

    Parameters
    ----------
    ra_deg, dec_deg : positions of the parent's stars, ICRS. [deg]
    g_mag, g_rp_mag : their G and G - RP; stars without either are in no cell. [mag]
    selected : whether each is in the sample.
    g_bright_mag, g_faint_mag : limits of the sample in G, between which there are cells. [mag]
    order : HEALPix level of the positions.
    g_step_mag : width of the cells in G, stretched to fit between the limits. [mag]
    g_rp_edges_mag : edges in G - RP; stars outside them count in the outermost cells. [mag]
    """
    if not g_bright_mag < g_faint_mag:
        raise InputError(f"the limits in G must rise: {g_bright_mag}, {g_faint_mag}.")
    n_g = max(1, round((g_faint_mag - g_bright_mag) / g_step_mag))
    g_edges = np.linspace(g_bright_mag, g_faint_mag, n_g + 1)
    colour_edges = np.asarray(g_rp_edges_mag, dtype=float)
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(ra_deg) & np.isfinite(dec_deg) & np.isfinite(g_rp_mag)
        usable &= (g_mag > g_bright_mag) & (g_mag < g_faint_mag)
    pixel = HEALPix(2**order, order="nested").lonlat_to_healpix(
        ra_deg[usable] * u.deg, dec_deg[usable] * u.deg
    )
    row = np.clip(np.searchsorted(g_edges, g_mag[usable], side="right") - 1, 0, n_g - 1)
    n_colour = len(colour_edges) - 1
    column = np.clip(np.searchsorted(colour_edges, g_rp_mag[usable], side="right") - 1, 0, n_colour - 1)
    shape = (12 * 4**order, n_g, n_colour)
    cell = np.ravel_multi_index((pixel, row, column), shape)
    chosen = np.asarray(selected)[usable]
    counts = [np.bincount(c, minlength=int(np.prod(shape))).reshape(shape) for c in (cell, cell[chosen])]
    return SelectionCounts(
        parent=counts[0], sample=counts[1], g_edges_mag=g_edges, g_rp_edges_mag=colour_edges, nside=2**order
    )


def selection_pixels(
    selection: "SelectionFunction", ra_deg: Float[np.ndarray, " star"], dec_deg: Float[np.ndarray, " star"]
) -> Int[np.ndarray, " star"]:
    """Return the pixel of each star in a selection function; 0 where a position is not finite."""
    finite = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    grid = HEALPix(selection.nside, order="nested")
    pixels = grid.lonlat_to_healpix(
        np.where(finite, ra_deg, 0.0) * u.deg, np.where(finite, dec_deg, 0.0) * u.deg
    )
    return np.where(finite, pixels, 0).astype(np.int32)
