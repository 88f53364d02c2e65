"""A map of the dust of a field, in HEALPix pixels and out to several distances, with samples; it answers as dustmaps does."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from astropy.coordinates import SkyCoord
from jaxtyping import Bool, Float, Int

from redflower.calibrate.verdict import Verdict
from redflower.products.healpix import pixel_centres_deg, rows_towards
from redflower.products.sampled_map import OK, SampledMap


@dataclass(frozen=True, repr=False)
class FieldMap(SampledMap):
    """E(B-V) of the dust of a field out to distances, as samples of its posterior. The stars' zero point is not in it.

    Attributes
    ----------
    nside : of the HEALPix grid, nested, Galactic.
    pixel : pixels of the map, rising.
    distance_pc : the distances, rising. [pc]
    samples_mag : E(B-V) of each sample; NaN beyond the stars. [mag]
    zero_point_mag : zero point of the stars' reddenings in each sample, one for every group; a sample's dust and its zero
        point belong together. [mag]
    groups : names of the groups of stars that have a zero point each.
    n_star : stars in each pixel.
    served : share of each pixel that has stars nearby.
    resolution_deg : side of the smallest area over which the stars tell more than the prior. [deg]
    numbers : mean and standard deviation of the field's other numbers, by name; ``r_hat`` and ``ess`` are the worst split R-hat
        (1 where the chains agree) and the least effective number of draws of the field's mean E(B-V) and of the zero points.
    r_hat : worst split R-hat of each pixel over the distances.
    status : ``ok`` or ``not_converged``.
    verdict : whether the model was right for the stars; None where their table did not say.
    """

    nside: int
    pixel: Int[np.ndarray, " pixel"]
    distance_pc: Float[np.ndarray, " distance"]
    samples_mag: Float[np.ndarray, "draw pixel distance"]
    zero_point_mag: Float[np.ndarray, "draw group"]
    groups: tuple[str, ...]
    n_star: Int[np.ndarray, " pixel"]
    served: Float[np.ndarray, " pixel"]
    resolution_deg: Float[np.ndarray, "pixel distance"]
    numbers: dict[str, tuple[float, float]]
    r_hat: Float[np.ndarray, " pixel"]
    status: str = OK
    verdict: Verdict | None = None
    _NAMES: ClassVar = ("field map", "Map of the dust of a field")

    def centres_deg(self) -> tuple[np.ndarray, np.ndarray]:
        """Return Galactic longitudes and latitudes of the pixels' centres. [deg]"""
        return pixel_centres_deg(self.nside, self.pixel)

    def _rows_towards(self, galactic: SkyCoord) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        return rows_towards(self.nside, self.pixel, galactic)

    def _place(self) -> tuple[str, str]:
        return "nside", str(self.nside)
