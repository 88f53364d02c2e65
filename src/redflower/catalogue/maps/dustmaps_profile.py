"""Reddening against distance from the three-dimensional maps of the package ``dustmaps``, over a circle of the sky."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from jaxtyping import Float

from redflower.catalogue.maps.dustmaps_map import PREFIX, open_query
from redflower.errors import InputError

#: Places in the circle at which a map is asked, spread evenly over its area.
N_PLACES: Final = 60
#: Steps along the line of sight over which a density of dust is summed. [pc]
_STEP_PC: Final = 2.0
_N_DISTANCES: Final = 100
#: Coefficients of Zhang & Yuan (2023) at E(B-V) = 0.1 mag and an intrinsic BP - RP of 0.8 to 1 mag, on the scale of
#: Schlegel et al. (1998); of V that of Schlafly & Finkbeiner (2011), Table 6, R_V = 3.1.
_R_G, _R_PS1_R, _R_V = 2.39, 2.48, 2.742
#: E(g - z) of a unit of Bayestar19 (Green et al. 2019) over that of E(B-V) = 1 mag. Between g and r it would be 0.87,
#: between r and z 0.98: the two laws differ by that.
_BAYESTAR19: Final = (3.518 - 1.549) / 2.117


@dataclass(frozen=True)
class _Map3D:
    """How a map is opened and asked, and what its values are."""

    class_name: str
    #: E(B-V) on the scale of Schlegel et al. (1998) of one unit of the map; a density is in units per kpc.
    factor: float
    unit: str
    reach_pc: tuple[float, float]
    opened_with: dict[str, Any] = field(default_factory=dict)
    asked_with: dict[str, Any] = field(default_factory=dict)
    is_density: bool = False


_MAPS: Final = {
    "bayestar": _Map3D(
        "BayestarQuery", _BAYESTAR19, "unit of Bayestar19", (60.0, 10_000.0), asked_with={"mode": "mean"}
    ),
    "edenhofer2023": _Map3D(
        "Edenhofer2023Query", 2.8 / _R_V, "E of Zhang, Green & Rix (2023), A_V = 2.8 E", (70.0, 1245.0), {"integrated": True}
    ),
    "leike2020": _Map3D(
        "Leike2020Query", 1.0857 / _R_G, "e-folding in G", (10.0, 500.0), is_density=True
    ),
    "leike_ensslin_2019": _Map3D(
        "LeikeEnsslin2019Query", 1.0857 / _R_G, "e-folding in G", (10.0, 420.0), is_density=True
    ),
    "chen2014": _Map3D("Chen2014Query", 1.0 / _R_PS1_R, "mag of A_r", (50.0, 4000.0)),
}  # fmt: skip


@dataclass(frozen=True)
class DustProfile:
    """Reddening of a map against distance.

    Attributes
    ----------
    distance_pc : where. [pc]
    ebv_mag, ebv_std_mag : mean of the cumulative E(B-V) over the circle, and its scatter there. [mag]
    conversion : from which unit, by which factor.
    """

    distance_pc: Float[np.ndarray, " node"]
    ebv_mag: Float[np.ndarray, " node"]
    ebv_std_mag: Float[np.ndarray, " node"]
    conversion: str


def profile_names() -> list[str]:
    """List the known three-dimensional maps, as they are named in place of a file."""
    return [PREFIX + name for name in _MAPS]


def read_dust_profile(source: str, l_deg: float, b_deg: float, radius_deg: float) -> DustProfile:
    """Read the profile of a three-dimensional map of dustmaps over a circle.

    Parameters
    ----------
    source : ``dustmaps:bayestar`` and the like, see `profile_names`.
    l_deg, b_deg, radius_deg : the circle. [deg]

    Raises
    ------
    InputError
        If dustmaps or the map's files are not there, or the map has nothing in that direction.
    """
    kind = _MAPS[source.removeprefix(PREFIX)]
    # The maps tell on standard output how long they take to load.
    with contextlib.redirect_stdout(io.StringIO()):
        query = open_query(source, kind.class_name, kind.opened_with)
        l_at, b_at = places_in_circle(l_deg, b_deg, radius_deg)

        def ask(distance_pc: np.ndarray) -> np.ndarray:
            shape = (len(l_at), len(distance_pc))
            grid = [np.broadcast_to(v, shape).ravel() for v in (l_at[:, None], b_at[:, None], distance_pc)]
            coords = SkyCoord(grid[0] * u.deg, grid[1] * u.deg, distance=grid[2] * u.pc, frame="galactic")
            return np.asarray(query(coords, **kind.asked_with), dtype=float).reshape(shape)

        distance_pc = np.geomspace(*kind.reach_pc, _N_DISTANCES)
        values = kind.factor * (_summed(ask, distance_pc) if kind.is_density else ask(distance_pc))
    # At the border of a map a part of the circle speaks for it.
    covered = np.isfinite(values).mean(axis=0) >= 0.5
    if not covered.any():
        raise InputError(
            f"{source} has nothing within {radius_deg:.2g} deg of l, b = {l_deg:.2f}, {b_deg:.2f} deg; leave it out."
        )
    values = values[:, covered]
    return DustProfile(
        distance_pc=distance_pc[covered],
        ebv_mag=np.nanmean(values, axis=0),
        ebv_std_mag=np.nanstd(values, axis=0),
        conversion=f"{kind.factor:.3g} mag per {kind.unit}",
    )


def places_in_circle(
    l_deg: float, b_deg: float, radius_deg: float
) -> tuple[Float[np.ndarray, " place"], Float[np.ndarray, " place"]]:
    """Spread places evenly over a circle, by the golden angle. [deg]"""
    number = np.arange(N_PLACES) + 0.5
    centre = SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic")
    angle = np.pi * (1.0 + np.sqrt(5.0)) * number
    there = centre.directional_offset_by(angle * u.rad, radius_deg * np.sqrt(number / N_PLACES) * u.deg)
    return np.asarray(there.l.deg), np.asarray(there.b.deg)


def _summed(
    ask: Callable[[np.ndarray], np.ndarray], distance_pc: Float[np.ndarray, " node"]
) -> Float[np.ndarray, "place node"]:
    """Sum a density per kpc outwards from the Sun; NaN from where the map ends."""
    edges = np.arange(0.0, distance_pc[-1] + _STEP_PC, _STEP_PC)
    within = np.cumsum(ask(0.5 * (edges[1:] + edges[:-1])) * _STEP_PC / 1000.0, axis=1)
    total = np.concatenate([np.zeros((len(within), 1)), within], axis=1)
    return np.stack([np.interp(distance_pc, edges, row) for row in total])
