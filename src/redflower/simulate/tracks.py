"""Where a star of given age and metallicity is: isochrones on one grid, looked up at a stage of evolution.

``scripts/fit_sky_population.py`` resamples the isochrones of PARSEC 1.2S (Bressan et al. 2012, MNRAS 427, 127; Chen
et al. 2014, MNRAS 444, 2525) to the same number of nodes between the same stages (turn-off, foot and tip of the giant
branch, core helium burning, asymptotic branch), moves dwarfs and giants onto the ridge lines of real stars, and
writes ``data/sky_tracks.npz``. The *stage* of a star runs from 0 (0.1 solar masses) to 1 (the last node before death)
along its isochrone. At a fixed stage, mass, M_G and BP - RP change smoothly with age and metallicity.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Corner:
    """The four grid points around each star in metallicity and log age, and their weights."""

    metal: np.ndarray
    age: np.ndarray
    metal_share: np.ndarray
    age_share: np.ndarray


@dataclass(frozen=True)
class Tracks:
    """The grid: arrays over (metallicity, log age, node).

    Attributes
    ----------
    mh_dex, log_age_yr : nodes of the grid; both evenly spaced or not.
    log_mass : natural log of the initial mass [solar masses], rising with the node.
    m_g_mag, bp_rp_mag, giant_weight : place in the colour-magnitude diagram; 0 for dwarfs to 1 for giants.
    helium : first and last node of core helium burning.
    """

    mh_dex: np.ndarray
    log_age_yr: np.ndarray
    log_mass: np.ndarray
    m_g_mag: np.ndarray
    bp_rp_mag: np.ndarray
    giant_weight: np.ndarray
    helium: tuple[int, int]

    @property
    def n_nodes(self) -> int:
        """Nodes of each isochrone."""
        return self.log_mass.shape[-1]

    def corner(self, mh_dex: Float[np.ndarray, " star"], age_gyr: Float[np.ndarray, " star"]) -> Corner:
        """Find where stars lie on the grid; outside it, at its edge."""
        metal, metal_share = _cell(self.mh_dex, mh_dex)
        age, age_share = _cell(self.log_age_yr, np.log10(age_gyr) + 9.0)
        return Corner(metal, age, metal_share, age_share)

    def at(self, values: np.ndarray, corner: Corner, stage: np.ndarray) -> np.ndarray:
        """Interpolate one of the arrays, linearly in metallicity, log age and stage."""
        place = np.clip(stage, 0.0, 1.0) * (self.n_nodes - 1)
        node = np.minimum(place.astype(int), self.n_nodes - 2)
        along = place - node
        total = np.zeros(len(stage))
        for i, metal_weight in ((0, 1.0 - corner.metal_share), (1, corner.metal_share)):
            for j, age_weight in ((0, 1.0 - corner.age_share), (1, corner.age_share)):
                low = values[corner.metal + i, corner.age + j, node]
                high = values[corner.metal + i, corner.age + j, node + 1]
                total += metal_weight * age_weight * (low + along * (high - low))
        return total

    def mass_per_stage(self, corner: Corner, stage: np.ndarray) -> np.ndarray:
        """Return d(log mass)/d(stage): how much of the mass function a step of the stage holds."""
        node = np.minimum((np.clip(stage, 0.0, 1.0) * (self.n_nodes - 1)).astype(int), self.n_nodes - 2)
        total = np.zeros(len(stage))
        for i, metal_weight in ((0, 1.0 - corner.metal_share), (1, corner.metal_share)):
            for j, age_weight in ((0, 1.0 - corner.age_share), (1, corner.age_share)):
                low = self.log_mass[corner.metal + i, corner.age + j, node]
                step = self.log_mass[corner.metal + i, corner.age + j, node + 1] - low
                total += metal_weight * age_weight * step
        return total * (self.n_nodes - 1)

    def stage_of_mass(self, corner: Corner, log_mass: np.ndarray) -> np.ndarray:
        """Find the stage at which a star of given initial mass is, by bisection; 0 or 1 outside the masses alive."""
        low, high = np.zeros(len(log_mass)), np.ones(len(log_mass))
        for _ in range(22):
            middle = 0.5 * (low + high)
            above = self.at(self.log_mass, corner, middle) > log_mass
            high, low = np.where(above, middle, high), np.where(above, low, middle)
        return 0.5 * (low + high)


def _cell(nodes: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the node below, and the share of the way to the next one; clipped to the edge."""
    inside = np.clip(value, nodes[0], nodes[-1])
    index = np.clip(np.searchsorted(nodes, inside, side="right") - 1, 0, len(nodes) - 2)
    return index, (inside - nodes[index]) / (nodes[index + 1] - nodes[index])


def overall_metallicity_dex(feh_dex: Float[np.ndarray, " star"]) -> Float[np.ndarray, " star"]:
    """Convert [Fe/H] to [M/H]: metal-poor stars have more alpha elements.

    [alpha/Fe] rises from 0 at the Sun's [Fe/H] to 0.3 at -0.75 and below, about the mean of the discs and the halo
    (Hayden et al. 2015, ApJ 808, 132); [M/H] after Salaris et al. (1993, ApJ 414, 580).
    """
    alpha_dex = np.clip(-0.4 * feh_dex, 0.0, 0.3)
    return feh_dex + np.log10(0.638 * 10.0**alpha_dex + 0.362)


@cache
def load_tracks() -> Tracks:
    """Load the packaged grid."""
    file = resources.files("redflower") / "data" / "sky_tracks.npz"
    with resources.as_file(file) as path, np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    helium = (int(arrays["helium"][0]), int(arrays["helium"][1]))
    return Tracks(
        mh_dex=arrays["mh_dex"],
        log_age_yr=arrays["log_age_yr"],
        log_mass=arrays["log_mass"].astype(float),
        m_g_mag=arrays["m_g_mag"].astype(float),
        bp_rp_mag=arrays["bp_rp_mag"].astype(float),
        giant_weight=arrays["giant_weight"].astype(float),
        helium=helium,
    )
