"""Intrinsic colours of the mock stars, from relations fitted to real stars.

`scripts/fit_colour_relations.py` fits them and writes ``data/mock_colours.json``: for dwarfs and for giants, each
colour (band - G) is a natural cubic spline in BP - RP plus [Fe/H] times a second one plus a term in [Fe/H]^2, and goes
on linearly outside the fitted range. The residual covariance between colours is in the same file.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from redflower.bands import N_BANDS, STANDARD, BandSet
from redflower.simulate.further_colours import with_further

FEH_RANGE_DEX = (-2.0, 0.4)
SKY_FEH_RANGE_DEX = (-2.5, 0.5)


class LinearEndSpline:
    """A natural cubic spline through node values that goes on as its end tangents outside the nodes."""

    def __init__(self, nodes: np.ndarray, values: np.ndarray) -> None:
        self._low, self.high = float(nodes[0]), float(nodes[-1])
        self._spline = CubicSpline(nodes, values, bc_type="natural")
        self._low_slope = self._spline(self._low, 1)
        self._high_slope = self._spline(self.high, 1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, float)
        below = np.minimum(x - self._low, 0.0)[..., None]
        above = np.maximum(x - self.high, 0.0)[..., None]
        inside = self._spline(np.clip(x, self._low, self.high))
        return inside + below * self._low_slope + above * self._high_slope


def metallicity_weight(bp_rp_mag: np.ndarray) -> np.ndarray:
    """Return how much of the dwarfs' [Fe/H] terms applies: 1 for F to K dwarfs, fading to 0 for A and M dwarfs.

    The spectroscopic [Fe/H] of the hottest and coolest stars of the fit is not trustworthy, so it is not used.
    """
    bp_rp_mag = np.asarray(bp_rp_mag, float)
    return np.clip((bp_rp_mag - 0.1) / 0.2, 0.0, 1.0) * np.clip((1.75 - bp_rp_mag) / 0.35, 0.0, 1.0)


def metal_terms(feh_dex: np.ndarray, bp_rp_mag: np.ndarray, *, fades: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the two functions of [Fe/H] on which the colours of the population ``sky`` depend.

    (10^(0.3 [Fe/H]) - 1) / (0.3 ln 10) is [Fe/H] near the Sun's and flattens below, as the lines of metals fade; and
    its square. With ``fades`` (dwarfs) both vanish towards the hottest stars, which have few such lines.
    """
    feh = np.clip(feh_dex, *SKY_FEH_RANGE_DEX)
    first = (10.0 ** (0.3 * feh) - 1.0) / (0.3 * np.log(10.0))
    if fades:
        first = first * np.clip((np.asarray(bp_rp_mag, float) - 0.1) / 0.2, 0.0, 1.0)
    return first, first**2


@dataclass(frozen=True)
class ColourClass:
    """The relations of one luminosity class.

    ``feh2_mag`` is one number for every band, or a function of BP - RP; with the second, [Fe/H] enters by
    `metal_terms`.
    """

    main: LinearEndSpline
    feh: LinearEndSpline
    feh2_mag: np.ndarray | LinearEndSpline
    fades: bool

    def colours(self, bp_rp_mag: np.ndarray, feh_dex: np.ndarray) -> np.ndarray:
        """Return the colours (band - G) in the one band order; the first column, G - G, is zero."""
        if isinstance(self.feh2_mag, LinearEndSpline):
            first, second = metal_terms(feh_dex, bp_rp_mag, fades=self.fades)
            # Beyond the last stars whose [Fe/H] is known the terms stay what they are there.
            within = np.minimum(bp_rp_mag, self.feh.high)
            metal = first[..., None] * self.feh(within) + second[..., None] * self.feh2_mag(within)
            return self.main(bp_rp_mag) + metal
        feh = np.clip(feh_dex, *FEH_RANGE_DEX)
        if self.fades:
            feh = feh * metallicity_weight(bp_rp_mag)
        feh = feh[..., None]
        return self.main(bp_rp_mag) + feh * self.feh(bp_rp_mag) + feh**2 * self.feh2_mag


@dataclass(frozen=True)
class ColourRelations:
    """Intrinsic colours of dwarfs and giants, and their scatter."""

    dwarf: ColourClass
    giant: ColourClass
    scatter_bp_rp_mag: np.ndarray
    scatter_factor: np.ndarray

    def colours(
        self,
        bp_rp_mag: Float[np.ndarray, " star"],
        feh_dex: Float[np.ndarray, " star"],
        giant_weight: Float[np.ndarray, " star"],
    ) -> Float[np.ndarray, "star band"]:
        """Return the mean colours (band - G) of stars of given BP - RP, [Fe/H] and luminosity class.

        Parameters
        ----------
        bp_rp_mag : intrinsic Gaia BP - RP. [mag]
        feh_dex : metallicity; clipped to `FEH_RANGE_DEX`. [dex]
        giant_weight : 0 for dwarfs, 1 for giants; between them the relations are mixed.
        """
        mixed = self.dwarf.colours(bp_rp_mag, feh_dex)
        some = giant_weight > 0
        if some.any():
            weight = giant_weight[some, None]
            giants = self.giant.colours(bp_rp_mag[some], feh_dex[some])
            mixed[some] = (1 - weight) * mixed[some] + weight * giants
        return mixed

    def scatter(
        self, bp_rp_mag: Float[np.ndarray, " star"], rng: np.random.Generator
    ) -> Float[np.ndarray, "star band"]:
        """Draw the intrinsic residual of every colour at fixed BP - RP; BP and RP move together."""
        normal = band_normals(rng, (len(bp_rp_mag), self.scatter_factor.shape[-1]))
        index = np.searchsorted(self.scatter_bp_rp_mag, bp_rp_mag)
        out = np.empty_like(normal)
        for i, factor in enumerate(self.scatter_factor):
            here = index == i
            out[here] = normal[here] @ factor.T
        return out


def band_normals(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw standard normals, (star, band): those of the standard bands are the same whether there are further bands or not."""
    normal = rng.standard_normal((shape[0], min(shape[1], N_BANDS)))
    if shape[1] == N_BANDS:
        return normal
    further = rng.spawn(1)[0].standard_normal((shape[0], shape[1] - N_BANDS))
    return np.concatenate([normal, further], axis=1)


def _class_of(entry: dict[str, Any], bands: BandSet, *, fades: bool) -> ColourClass:
    """Build one class from the file; G - G is 0, and RP - G is (BP - G) - (BP - RP)."""
    nodes, feh_nodes = np.array(entry["bp_rp_mag"]), np.array(entry["feh_bp_rp_mag"])
    n_bands = len(bands)
    main, feh = np.zeros((len(nodes), n_bands)), np.zeros((len(feh_nodes), n_bands))
    feh2_nodes = np.array(entry.get("feh2_bp_rp_mag", [0.0]))
    feh2 = np.zeros((len(feh2_nodes), n_bands))
    for i, band in enumerate(bands):
        if band.label in entry["colours"]:
            term = entry["colours"][band.label]
            main[:, i], feh[:, i], feh2[:, i] = term["value_mag"], term["feh_mag"], term["feh2_mag"]
    main[:, 2] = main[:, 1] - nodes
    feh[:, 2], feh2[:, 2] = feh[:, 1], feh2[:, 1]
    changes = "feh2_bp_rp_mag" in entry
    square = LinearEndSpline(feh2_nodes, feh2) if changes else feh2[0]
    return ColourClass(LinearEndSpline(nodes, main), LinearEndSpline(feh_nodes, feh), square, fades)


@cache
def mock_coefficients() -> dict[str, Any]:
    """Read everything that ``scripts/fit_colour_relations.py`` fitted, once."""
    text = (resources.files("redflower") / "data" / "mock_colours.json").read_text(encoding="utf-8")
    return json.loads(text)


def colour_relations(content: dict[str, Any], bands: BandSet = STANDARD) -> ColourRelations:
    """Return the relations of a set of coefficients, as `mock_coefficients` gives one.

    Parameters
    ----------
    content : the coefficients.
    bands : the standard ones, and perhaps further ones that the coefficients have.
    """
    scatter = content["scatter"]
    return ColourRelations(
        dwarf=_class_of(content["classes"]["dwarf"], bands, fades=True),
        giant=_class_of(content["classes"]["giant"], bands, fades=False),
        scatter_bp_rp_mag=np.array(scatter["bp_rp_edges_mag"]),
        scatter_factor=np.array(scatter["factor_mag"]),
    )


@cache
def sky_coefficients() -> dict[str, Any]:
    """Read everything that ``scripts/fit_sky_population.py`` fitted, once."""
    text = (resources.files("redflower") / "data" / "sky_colours.json").read_text(encoding="utf-8")
    return json.loads(text)


@cache
def sky_colour_relations(bands: BandSet = STANDARD) -> ColourRelations:
    """Return the relations of the population ``sky``."""
    return colour_relations(with_further(sky_coefficients(), "sky", bands), bands)


@cache
def load_colour_relations(bands: BandSet = STANDARD) -> ColourRelations:
    """Load the packaged relations of the population ``mock``."""
    return colour_relations(with_further(mock_coefficients(), "mock", bands), bands)
