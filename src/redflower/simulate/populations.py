"""The mock stars: from initial mass, age and [Fe/H] to a place in the colour-magnitude diagram.

A deliberately simple account of stellar evolution. Every star has an initial mass from the mass function and an age
from its component. Its *phase*, the age over the main-sequence lifetime, says whether it is a dwarf, a subgiant, a
giant, a clump or horizontal-branch star, or a white dwarf; the ridge lines of the dwarfs and of the giant branch are fitted
to real stars (``scripts/fit_colour_relations.py``).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from redflower.simulate.colours import mock_coefficients
from redflower.simulate.galaxy import Component

#: Share of systems that are unresolved binaries; mass ratios are uniform (Raghavan et al. 2010, ApJS 190, 1, rounded).
BINARY_FRACTION: Final = 0.4
MASS_MIN_MSUN: Final = 0.1
MASS_MAX_MSUN: Final = 8.0
FEH_LIMITS_DEX: Final = (-2.5, 0.5)

#: Main-sequence lifetime of a star of one solar mass [Gyr] and minus its slope with mass; M67's turn-off (4 Gyr) fits.
LIFETIME_GYR: Final = 9.5
LIFETIME_SLOPE: Final = 3.6

#: Ends of the phases after the main sequence, in main-sequence lifetimes.
SUBGIANT_END: Final = 1.10
GIANT_END: Final = 1.18
CLUMP_END: Final = 1.20

# Initial mass and BP - RP on the main sequence at solar metallicity, rounded from the table of mean dwarfs of Pecaut &
# Mamajek (2013, ApJS 208, 9). Masses set the luminosity function and the turn-off, not the loci.
_DWARF_MASS_MSUN: Final = (
    0.1, 0.12, 0.16, 0.23, 0.30, 0.37, 0.44, 0.50, 0.57, 0.70, 0.78, 0.88, 1.0, 1.1, 1.25, 1.4, 1.6,
    1.9, 2.3, 3.0, 5.0, 8.0,
)  # fmt: skip
_DWARF_BP_RP_MAG: Final = (
    4.15, 3.85, 3.35, 2.82, 2.60, 2.42, 2.15, 1.98, 1.84, 1.38, 1.12, 0.97, 0.83, 0.75, 0.64, 0.55,
    0.40, 0.21, 0.02, -0.12, -0.25, -0.36,
)  # fmt: skip

# Beyond the colours of the fitted sample, M_G of dwarfs from the same table and from the nearby M dwarfs of Gaia.
_BLUE_RIDGE: Final = ((-0.4, -0.1), (-1.0, 0.9))
_RED_RIDGE: Final = ((3.0, 3.5, 4.0, 4.6), (11.7, 13.4, 14.8, 16.3))

# White dwarfs of 0.6 solar masses with hydrogen atmospheres, rounded from the cooling models of Bergeron et al.
_WD_LOG_AGE_GYR: Final = (-3.0, -2.0, -1.0, -0.3, 0.0, 0.5, 1.0)
_WD_AGE_M_G_MAG: Final = (8.5, 9.7, 10.9, 12.0, 12.8, 14.1, 15.8)
_WD_M_G_MAG: Final = (8.5, 9.9, 10.7, 11.4, 12.0, 12.8, 14.0, 14.9, 15.8)
_WD_BP_RP_MAG: Final = (-0.52, -0.44, -0.33, -0.18, 0.02, 0.27, 0.72, 1.08, 1.45)


@dataclass(frozen=True)
class StarPlace:
    """Places of single stars in the colour-magnitude diagram, without their scatter.

    ``giant_weight`` runs from 0 for dwarfs to 1 for giants.
    """

    m_g_mag: np.ndarray
    bp_rp_mag: np.ndarray
    giant_weight: np.ndarray


@dataclass(frozen=True)
class Library:
    """Systems of one component, sorted by M_G and weighted so that they follow its luminosity function.

    ``m_g_mag`` is that of both stars together at ``feh_dex``, the metallicity at the Sun's radius in the plane; ``cumulative`` is
    the share of the component's systems up to each row. The companion's mass is 0 where there is none.
    """

    m_g_mag: np.ndarray
    cumulative: np.ndarray
    feh_dex: np.ndarray
    age_gyr: np.ndarray
    mass_msun: np.ndarray
    phase: np.ndarray
    companion_mass_msun: np.ndarray
    companion_phase: np.ndarray

    def share_below(self, m_g_mag: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the share of the systems with M_G below given values."""
        index = np.searchsorted(self.m_g_mag, m_g_mag)
        return np.where(index > 0, self.cumulative[index - 1], 0.0)

    def draw_between(
        self,
        bright_mag: Float[np.ndarray, " n"],
        faint_mag: Float[np.ndarray, " n"],
        rng: np.random.Generator,
    ) -> Int[np.ndarray, " n"]:
        """Draw rows by weight, each with M_G between its own limits."""
        low, high = self.share_below(bright_mag), self.share_below(faint_mag)
        row = np.searchsorted(self.cumulative, low + rng.random(len(low)) * (high - low), side="right")
        return np.minimum(row, len(self.cumulative) - 1)


def initial_mass_density(mass_msun: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the mass function dN/dm up to a constant: slopes -1.3 below and -2.3 above 0.5 (Kroupa 2001, MNRAS 322, 231)."""
    return np.where(mass_msun < 0.5, mass_msun**-1.3, 0.5 * mass_msun**-2.3)


def main_sequence_lifetime_gyr(mass_msun: np.ndarray, feh_dex: np.ndarray) -> np.ndarray:
    """Return the main-sequence lifetime, shorter for heavier and for metal-poor stars. [Gyr]"""
    return LIFETIME_GYR * mass_msun**-LIFETIME_SLOPE * _lifetime_factor(feh_dex)


def _lifetime_factor(feh_dex: np.ndarray) -> np.ndarray:
    return 10.0 ** (0.15 * np.clip(feh_dex, *FEH_LIMITS_DEX))


def zero_age_place(
    mass_msun: Float[np.ndarray, " star"], feh_dex: Float[np.ndarray, " star"], ridge: dict[str, Any]
) -> tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"]]:
    """Return M_G and BP - RP of unevolved dwarfs.

    Parameters
    ----------
    mass_msun : initial mass. [solar masses]
    feh_dex : [Fe/H], within `FEH_LIMITS_DEX`. [dex]
    ridge : the fitted ridge of the dwarfs, ``main_sequence`` of the coefficients.
    """
    # At fixed mass a metal-poor dwarf is hotter; at fixed colour it is fainter.
    colour = np.interp(np.log(mass_msun), np.log(_DWARF_MASS_MSUN), _DWARF_BP_RP_MAG)
    colour = colour + 0.27 * feh_dex + 0.13 * np.minimum(feh_dex + 0.5, 0.0)
    nodes = np.concatenate([_BLUE_RIDGE[0], ridge["bp_rp_mag"], _RED_RIDGE[0]])
    values = np.concatenate([_BLUE_RIDGE[1], ridge["m_g_mag"], _RED_RIDGE[1]])
    m_g = np.interp(colour, nodes, values) + ridge["slope_mag_per_dex"] * np.clip(feh_dex, -2.0, 0.4)
    return m_g, colour


@cache
def _giant_branch() -> tuple[np.ndarray, np.ndarray, float]:
    """Return the ridge of the giant branch: M_G and BP - RP at solar [Fe/H], and its slope with [Fe/H]; M67 gives the tip."""
    fit = mock_coefficients()["giant_branch"]
    m_g = np.concatenate([[-3.5, -2.5], fit["m_g_mag"]])
    return m_g, np.concatenate([[2.6, 2.1], fit["bp_rp_mag"]]), fit["slope_mag_per_dex"]


def _giant_bp_rp(m_g_mag: np.ndarray, feh_dex: np.ndarray) -> np.ndarray:
    nodes, colours, slope = _giant_branch()
    return np.interp(m_g_mag, nodes, colours) + slope * np.maximum(feh_dex, -1.8)


def place_stars(
    mass_msun: Float[np.ndarray, " star"],
    phase: Float[np.ndarray, " star"],
    feh_dex: Float[np.ndarray, " star"],
    age_gyr: Float[np.ndarray, " star"],
) -> StarPlace:
    """Return M_G and BP - RP of single stars.

    Parameters
    ----------
    mass_msun : initial mass. [solar masses]
    phase : age over main-sequence lifetime.
    feh_dex : [Fe/H], clipped to `FEH_LIMITS_DEX`. [dex]
    age_gyr : age, for the cooling of white dwarfs. [Gyr]
    """
    feh = np.clip(feh_dex, *FEH_LIMITS_DEX)
    m_g, colour = zero_age_place(mass_msun, feh, mock_coefficients()["main_sequence"])

    # Main sequence: with age brighter and a little bluer, at the turn-off redder again.
    aged = np.clip(phase, 0.0, 1.0)
    colour = colour - 0.05 * aged + 0.10 * aged**6
    m_g = m_g - 0.65 * aged - 0.25 * aged**4
    giant_weight = np.zeros(len(colour))

    evolved = np.flatnonzero(phase > 1.0)
    if len(evolved):
        place = _place_evolved(phase[evolved], feh[evolved], age_gyr[evolved], m_g[evolved], colour[evolved])
        m_g[evolved], colour[evolved], giant_weight[evolved] = place
    return StarPlace(m_g, colour, giant_weight)


def _place_evolved(
    phase: np.ndarray,
    feh: np.ndarray,
    age_gyr: np.ndarray,
    turn_off_m_g: np.ndarray,
    turn_off_colour: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return M_G, BP - RP and giant weight of stars past the main sequence."""
    # Subgiants cross to the foot of the giant branch: heavy stars level, light ones a little upward.
    foot_m_g = np.minimum(turn_off_m_g - 0.15, 3.6)
    across = np.clip((phase - 1.0) / (SUBGIANT_END - 1.0), 0.0, 1.0)
    m_g = turn_off_m_g + (foot_m_g - turn_off_m_g) * across - 0.30 * np.sin(np.pi * across)
    colour = turn_off_colour + (_giant_bp_rp(foot_m_g, feh) - turn_off_colour) * across**1.3
    giant_weight = across * np.clip((colour - 0.75) / 0.15, 0.0, 1.0)

    # Up the branch, so that dN/dM goes as 10^(0.32 M) to the tip (the slope of observed luminosity functions).
    climb = np.clip((phase - SUBGIANT_END) / (GIANT_END - SUBGIANT_END), 0.0, 1.0)
    branch_m_g = np.maximum(foot_m_g + np.log10(np.maximum(1.0 - climb, 1e-3)) / 0.32, -3.0 + 0.4 * feh)
    giant = phase > SUBGIANT_END
    m_g = np.where(giant, branch_m_g, m_g)
    colour = np.where(giant, _giant_bp_rp(branch_m_g, feh), colour)
    giant_weight = np.where(giant, 1.0, giant_weight)

    # Core-helium burning: the clump (M67: M_G 0.46, BP - RP 1.195), for metal-poor stars the horizontal branch.
    clump = phase > GIANT_END
    within = np.clip((phase - GIANT_END) / (CLUMP_END - GIANT_END), 0.0, 1.0)
    horizontal = np.clip((-0.9 - feh) / 0.6, 0.0, 1.0)
    clump_colour = 1.195 + 0.20 * np.maximum(feh, -1.5) - 1.1 * horizontal * within
    m_g = np.where(clump, 0.46 + 0.15 * np.maximum(feh, -1.5) + 0.3 * horizontal + 0.2 * (within - 0.5), m_g)
    colour = np.where(clump, clump_colour, colour)
    giant_weight = np.where(clump, np.clip((clump_colour - 0.6) / 0.3, 0.0, 1.0), giant_weight)

    dead = phase > CLUMP_END
    dead_m_g, dead_colour = white_dwarf_place(age_gyr * (1.0 - CLUMP_END / phase))
    m_g = np.where(dead, dead_m_g, m_g)
    colour = np.where(dead, dead_colour, colour)
    return m_g, colour, np.where(dead, 0.0, giant_weight)


def white_dwarf_place(cooling_gyr: Float[np.ndarray, " star"]) -> tuple[np.ndarray, np.ndarray]:
    """Return M_G and BP - RP of white dwarfs that have cooled for a time. [Gyr]"""
    m_g = np.interp(np.log10(np.maximum(cooling_gyr, 1e-3)), _WD_LOG_AGE_GYR, _WD_AGE_M_G_MAG)
    return m_g, np.interp(m_g, _WD_M_G_MAG, _WD_BP_RP_MAG)


def draw_library(component: Component, n_systems: int, rng: np.random.Generator) -> Library:
    """Draw weighted systems of a component.

    Masses are drawn uniformly in log m, and once more around each star's turn-off mass, and weighted back to the mass
    function: the rare bright systems are then as well sampled as the many faint ones.
    """
    age = rng.uniform(*component.age_range_gyr, n_systems)
    feh = np.clip(component.draw_feh_dex(n_systems, rng), *FEH_LIMITS_DEX)
    log_low, log_high = np.log(MASS_MIN_MSUN), np.log(MASS_MAX_MSUN)
    # Everything between turn-off and death lies within a few per cent above the turn-off mass.
    width, share = 0.09, 0.4
    start = np.log(LIFETIME_GYR * _lifetime_factor(feh) / age) / LIFETIME_SLOPE - 0.02
    start = np.clip(start, log_low, log_high - width)
    near = rng.random(n_systems) < share
    uniform = rng.random(n_systems)
    log_mass = np.where(near, start + width * uniform, log_low + (log_high - log_low) * uniform)
    inside = (log_mass >= start) & (log_mass <= start + width)
    proposal = (1.0 - share) / (log_high - log_low) + share * inside / width
    mass = np.exp(log_mass)
    weight = initial_mass_density(mass) * mass / proposal
    double = rng.random(n_systems) < BINARY_FRACTION
    companion = np.where(double, rng.random(n_systems) * mass, 0.0)
    # Lighter companions are dark.
    companion = np.where(companion < MASS_MIN_MSUN, 0.0, companion)
    phase = age / main_sequence_lifetime_gyr(mass, feh)
    companion_phase = age / main_sequence_lifetime_gyr(np.maximum(companion, MASS_MIN_MSUN), feh)

    flux = 10.0 ** (-0.4 * place_stars(mass, phase, feh, age).m_g_mag)
    has = np.flatnonzero(companion > 0)
    second = place_stars(companion[has], companion_phase[has], feh[has], age[has])
    flux[has] += 10.0 ** (-0.4 * second.m_g_mag)
    m_g = -2.5 * np.log10(flux)
    order = np.argsort(m_g)
    cumulative = np.cumsum(weight[order])
    cumulative /= cumulative[-1]
    kept = (feh, age, mass, phase, companion, companion_phase)
    return Library(m_g[order], cumulative, *(values[order] for values in kept))
