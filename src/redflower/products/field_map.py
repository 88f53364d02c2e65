"""A map of the dust of a field, in HEALPix pixels and out to several distances, with samples; it answers as dustmaps does."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from astropy.coordinates import SkyCoord
from jaxtyping import Bool, Int

from redflower.products.healpix import pixel_centres_deg, rows_towards
from redflower.products.sampled_map import SampledMap


@dataclass(frozen=True, repr=False, kw_only=True)
class FieldMap(SampledMap):
    """E(B-V) of the dust of a field out to distances, as samples of its posterior. The stars' zero point is not in it.

    Attributes
    ----------
    nside : of the HEALPix grid; its pixels are rising. All else is that of `SampledMap`.
    """

    nside: int
    _NAMES: ClassVar = ("field map", "Map of the dust of a field")

    def centres_deg(self) -> tuple[np.ndarray, np.ndarray]:
        """Return Galactic longitudes and latitudes of the pixels' centres. [deg]"""
        return pixel_centres_deg(self.nside, self.pixel)

    def _rows_towards(self, galactic: SkyCoord) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        return rows_towards(self.nside, self.pixel, galactic)

    def _place(self) -> tuple[str, str]:
        return "nside", str(self.nside)
