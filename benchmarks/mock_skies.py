"""Small mock skies of many kinds: their dust, how dense their stars are, what is wrong with their zero point, the covariance."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.clouds.dust_field import true_covariance
from scipy.interpolate import interp1d

from redflower.simulate import DustField, DustSheet, draw_dust_field
from redflower.sky_patch import SkyPatch

SHEETS = (DustSheet(300.0, 0.05, 0.7, 0.5), DustSheet(900.0, 0.06, 0.3, 1.5))
CENTRE = (120.0, 45.0)


@dataclass(frozen=True)
class Sky:
    """A mock sky: its dust, how many stars a square degree has, and what is wrong with their zero point."""

    name: str
    sheets: tuple[DustSheet, ...] = SHEETS
    stars_per_square_deg: float = 100.0
    zero_point_mag: float = 0.0
    drift: float = 0.0
    filaments: bool = False
    seed: int = 1


SKIES = (
    Sky("two sheets"),
    Sky("no dust, zero point +0.01", sheets=(), zero_point_mag=0.01),
    Sky("filaments", filaments=True, seed=2),
    Sky("zero point +0.01, drifting by 0.005 mag per mag", zero_point_mag=0.01, drift=0.005, seed=3),
    Sky("10 stars a square degree", stars_per_square_deg=10.0, seed=4),
    Sky("500 stars a square degree", stars_per_square_deg=500.0, seed=5),
)


def dust_of(sky: Sky, size_deg: float) -> DustField:
    """Draw the dust of a sky; filaments take the place of the pattern of the nearer sheet."""
    dust = draw_dust_field(SkyPatch(*CENTRE, size_deg), sky.sheets, seed=sky.seed)
    if not sky.filaments:
        return dust
    rng = np.random.default_rng(sky.seed)
    n = dust.maps_mag.shape[-1]
    y, x = np.mgrid[:n, :n] / n - 0.5
    total = np.zeros((n, n))
    for _ in range(6):
        angle, offset, bend = rng.uniform(0.0, np.pi), rng.uniform(-0.4, 0.4), rng.uniform(-0.5, 0.5)
        along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        # 0.1 deg wide: a few times narrower than stars are apart.
        total += np.exp(-0.5 * ((across - offset - bend * along**2) * size_deg / 0.1) ** 2)
    maps = dust.maps_mag.copy()
    maps[0] = 0.01 + 0.1 * total
    return replace(dust, maps_mag=maps)


def covariance_of(sky: Sky, dust: DustField, out_to_pc: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the true covariance of the reddening as a function of the angle; of filaments, that of their map."""
    if not sky.filaments:
        return true_covariance(dust, out_to_pc)
    near = dust.maps_mag[0, ::2, ::2] - dust.maps_mag[0].mean()
    n, cell_deg = len(near), 2.0 * dust.patch.size_deg / dust.maps_mag.shape[-1]
    alone, padded = np.ones_like(near), (2 * n, 2 * n)
    pairs, count = (np.fft.ifft2(np.abs(np.fft.fft2(a, padded)) ** 2).real for a in (near, alone))
    lag = np.fft.fftfreq(2 * n, 1.0 / (2 * n))
    far = np.rint(np.hypot(lag[:, None], lag)).astype(int).ravel()
    mean = np.bincount(far, pairs.ravel()) / np.maximum(np.bincount(far, count.ravel()), 1.0)
    own = interp1d(
        cell_deg * np.arange(n // 2), mean[: n // 2], bounds_error=False, fill_value=(mean[0], 0.0)
    )
    rest = true_covariance(replace(dust, sheets=dust.sheets[1:]), out_to_pc)
    return lambda angle: own(angle) + rest(angle)
