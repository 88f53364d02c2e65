"""A map of a field whose pixels are as fine as the stars allow, place by place: HEALPix of several resolutions in one."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from jaxtyping import Bool, Float, Int

from redflower.errors import InputError
from redflower.field.pixels import side_deg
from redflower.products.field_map import FieldMap
from redflower.products.healpix import pixel_centres_deg
from redflower.products.sampled_map import SampledMap

#: The coarsest pixels by default.
NSIDE_MIN: Final = 64
#: Level of HEALPix at which every pixel is a stretch of whole numbers.
_DEEPEST: Final = 29


@dataclass(frozen=True, repr=False, kw_only=True)
class AdaptiveMap(SampledMap):
    """E(B-V) of the dust of a field out to distances, in pixels of several sizes that do not overlap.

    Attributes
    ----------
    level : of each pixel, at which ``pixel`` counts; its nside is 2 to this power. ``resolution_deg`` is not below the pixel's
        own, ``r_hat`` the worst of the finer pixels in each. All else is that of `SampledMap`.
    """

    level: Int[np.ndarray, " pixel"]
    _NAMES: ClassVar = ("adaptive field map", "Map of the dust of a field, as fine as its stars allow")

    @property
    def uniq(self) -> Int[np.ndarray, " pixel"]:
        """The number of each pixel among those of all levels, as in multi-order maps (NUNIQ)."""
        return self.pixel + 4 * 4**self.level

    def centres_deg(self) -> tuple[np.ndarray, np.ndarray]:
        """Return Galactic longitudes and latitudes of the pixels' centres. [deg]"""
        l_deg, b_deg = np.empty((2, len(self.pixel)))
        for level in np.unique(self.level):
            there = self.level == level
            l_deg[there], b_deg[there] = pixel_centres_deg(2 ** int(level), self.pixel[there])
        return l_deg, b_deg

    def _rows_towards(self, galactic: SkyCoord) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        grid = HEALPix(nside=2**_DEEPEST, order="nested")
        wanted = np.atleast_1d(grid.lonlat_to_healpix(galactic.l, galactic.b)).ravel()
        width = 4 ** (_DEEPEST - self.level)
        order = np.argsort(self.pixel * width)
        start = (self.pixel * width)[order]
        row = order[np.clip(np.searchsorted(start, wanted, side="right") - 1, 0, len(order) - 1)]
        return row, self.pixel[row] == wanted // width[row]

    def _place(self) -> tuple[str, str]:
        low, high = int(self.level.min()), int(self.level.max())
        return "nside", str(2**low) if low == high else f"{2**low} to {2**high}"


def adaptive_map(field: FieldMap, *, nside_min: int = NSIDE_MIN) -> AdaptiveMap:
    """Make the pixels of a map as fine as its stars allow, place by place.

    Four pixels become one if fewer than half of the map's pixels in them have an effective resolution, at any distance, that is
    as fine as theirs; and so on with the larger ones that were made so, up to `nside_min`. E(B-V), sample by sample, is the mean
    over the pixels of the map in each; stars are counted, and the share that is served is that of the whole pixel.

    Parameters
    ----------
    field : the map.
    nside_min : of the coarsest pixels, a power of 2.

    Returns
    -------
    The map in pixels of several sizes; the mean over the field is that of the map.

    Raises
    ------
    InputError
        If `nside_min` is not a power of 2.

    Examples
    --------
    >>> import redflower
    >>> import numpy as np
    >>> from redflower.products.field_map import FieldMap
    >>> pixel, samples = np.arange(16), np.full((5, 16, 1), 0.05)
    >>> resolution = np.where(pixel < 4, 0.2, 0.9)[:, None]     # four pixels of nside 256 are resolved
    >>> field = FieldMap(nside=256, pixel=pixel, distance_pc=np.array([500.0]), samples_mag=samples,
    ...     zero_point_mag=np.zeros((5, 1)), groups=("ALL",), n_star=np.full(16, 3), served=np.ones(16),
    ...     resolution_deg=resolution, numbers={}, r_hat=np.ones(16))
    >>> adaptive = redflower.adaptive_map(field)
    >>> [(2 ** int(level), int(pixel)) for level, pixel in zip(adaptive.level, adaptive.pixel)]
    [(128, 1), (128, 2), (128, 3), (256, 0), (256, 1), (256, 2), (256, 3)]
    """
    if nside_min < 1 or nside_min & (nside_min - 1):
        raise InputError(f"an adaptive map needs nside_min as a power of 2; got {nside_min}.")
    finest, coarsest = int(np.log2(field.nside)), int(np.log2(nside_min))
    level = np.full(len(field.pixel), finest)
    told = np.where(np.isfinite(field.resolution_deg), field.resolution_deg, np.inf).min(
        axis=1, initial=np.inf
    )
    for at in range(finest, coarsest, -1):
        _, parent = np.unique(field.pixel >> 2 * (finest - at + 1), return_inverse=True)
        # Resolutions are sides of pixels: a little more than a side is that side.
        share = np.bincount(parent, told <= 1.01 * side_deg(2**at)) / np.bincount(parent)
        kept = np.bincount(parent, level > at) > 0
        level[((share < 0.5) & ~kept)[parent]] = at - 1
    shift = 2 * (finest - level)
    uniq, first, member = np.unique(
        (field.pixel >> shift) + 4 * 4**level, return_index=True, return_inverse=True
    )
    count = np.bincount(member)
    of_level = level[first]

    def mean(values: Float[np.ndarray, " fine"]) -> Float[np.ndarray, " pixel"]:
        return np.bincount(member, values) / count

    samples = np.empty((len(field.samples_mag), len(uniq), len(field.distance_pc)), np.float32)
    resolution = np.empty((len(uniq), len(field.distance_pc)))
    own = np.array([side_deg(2 ** int(a)) for a in of_level])
    for k in range(len(field.distance_pc)):
        samples[:, :, k] = [mean(draw) for draw in field.samples_mag[:, :, k]]
        resolution[:, k] = np.maximum(mean(field.resolution_deg[:, k]), own)
    r_hat = np.ones(len(uniq))
    np.maximum.at(r_hat, member, field.r_hat)
    return AdaptiveMap(
        level=of_level,
        pixel=uniq - 4 * 4**of_level,
        samples_mag=samples,
        n_star=np.bincount(member, field.n_star).astype(np.int64),
        served=np.bincount(member, field.served) / 4.0 ** (finest - of_level),
        resolution_deg=resolution,
        r_hat=r_hat,
        **{
            name: getattr(field, name)
            for name in ("distance_pc", "zero_point_mag", "groups", "numbers", "status", "verdict")
        },
    )
