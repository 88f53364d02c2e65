"""The stars of the population ``sky``: systems on real isochrones, and their magnitudes.

A system's *stage* (see `redflower.simulate.tracks`) is drawn uniformly along its isochrone and weighted by the mass
function, so that rare giants are as well sampled as common dwarfs. Above 1 the stage is that of a white dwarf: 1 plus
the share of its age for which it has cooled.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from redflower.bands import STANDARD, BandSet
from redflower.simulate.colours import sky_colour_relations
from redflower.simulate.galaxy import Component
from redflower.simulate.populations import (
    FEH_LIMITS_DEX,
    MASS_MAX_MSUN,
    MASS_MIN_MSUN,
    Library,
    StarPlace,
    white_dwarf_place,
)
from redflower.simulate.tracks import Corner, load_tracks, overall_metallicity_dex

#: Share of systems that are unresolved binaries, against the primary's mass: Raghavan et al. (2010, ApJS 190, 1) and
#: Winters et al. (2019, AJ 157, 216), without the sixth of them that Gaia resolves. Mass ratios are uniform.
_BINARY_MASS_MSUN: Final = (0.1, 0.3, 0.6, 1.0, 1.5)
_BINARY_SHARE: Final = (0.17, 0.23, 0.30, 0.37, 0.46)
#: Scatter of M_G about the isochrones: rotation, helium, alpha elements. [mag]
M_G_SCATTER_MAG: Final = 0.08
#: Scatter of white dwarfs, by their masses. [mag]
WD_SCATTER_MAG: Final = 0.20
#: Share of the library drawn as white dwarfs, and minus the slope of the lifetime with mass there.
_DEAD_SHARE: Final = 0.08
_LIFETIME_SLOPE: Final = 2.9
#: The blue horizontal branch: M_G at given BP - RP (M_V of RR Lyrae stars about 0.6).
_BLUE_BRANCH: Final = ((-0.2, -0.1, 0.0, 0.1, 0.3, 0.6), (1.6, 1.15, 0.8, 0.65, 0.55, 0.5))
#: Of core-helium burning stars of [Fe/H] = -1.6 and less, the share on the blue branch and in the instability strip.
_BLUE_SHARE: Final = 0.55


@dataclass(frozen=True)
class SkyLibrary(Library):
    """Systems with a number each, uniform in (0, 1), for what mass does not decide: mass loss, mass of a white dwarf."""

    variety: np.ndarray


def system_mass_density(mass_msun: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return the mass function of systems dN/dm, per cubic parsec near the Sun (Chabrier 2003, PASP 115, 763, for systems).

    That of primaries: with the mass function of single stars, F to K dwarfs are too few for the M dwarfs by a factor
    of 1.7.
    """
    low = 0.086 * np.exp(-((np.log10(mass_msun / 0.22) / 0.57) ** 2) / 2.0)
    high = 0.0443 * mass_msun**-1.3
    return np.where(mass_msun < 1.0, low, high) / (mass_msun * np.log(10.0))


def binary_share(mass_msun: Float[np.ndarray, " star"]) -> Float[np.ndarray, " star"]:
    """Return the share of systems of a primary's mass that are unresolved binaries."""
    return np.interp(np.log(mass_msun), np.log(_BINARY_MASS_MSUN), _BINARY_SHARE)


def place_stars(
    stage: Float[np.ndarray, " star"],
    feh_dex: Float[np.ndarray, " star"],
    age_gyr: Float[np.ndarray, " star"],
    variety: Float[np.ndarray, " star"],
) -> StarPlace:
    """Return M_G and BP - RP of single stars, without scatter.

    Parameters
    ----------
    stage : of evolution; above 1, white dwarfs.
    feh_dex : [Fe/H], clipped to the limits of the library. [dex]
    age_gyr : age. [Gyr]
    variety : uniform numbers of (0, 1).
    """
    tracks = load_tracks()
    feh = np.clip(feh_dex, *FEH_LIMITS_DEX)
    corner = tracks.corner(overall_metallicity_dex(feh), age_gyr)
    m_g = tracks.at(tracks.m_g_mag, corner, stage)
    colour = tracks.at(tracks.bp_rp_mag, corner, stage)
    weight = tracks.at(tracks.giant_weight, corner, stage)

    # Isochrones have one horizontal branch each; real stars lose more or less mass before it.
    node = stage * (tracks.n_nodes - 1)
    helium = (node >= tracks.helium[0]) & (node <= tracks.helium[1]) & (age_gyr > 8.0)
    blue_share = _BLUE_SHARE * np.clip((-0.8 - feh) / 0.8, 0.0, 1.0)
    blue = helium & (variety < blue_share)
    depth = np.sqrt(variety / np.maximum(blue_share, 1e-9))
    blue_colour = colour + (-0.12 - colour) * (1.0 - depth)
    colour = np.where(blue, blue_colour, colour)
    m_g = np.where(blue & (colour < 0.7), np.interp(colour, *_BLUE_BRANCH), m_g)
    weight = np.where(blue, np.minimum(weight, np.clip((colour - 0.6) / 0.3, 0.0, 1.0)), weight)

    dead = np.flatnonzero(stage > 1.0)
    if len(dead):
        dead_m_g, dead_colour = white_dwarf_place(age_gyr[dead] * (stage[dead] - 1.0))
        spread = np.clip(2.0 * variety[dead] - 1.0, -1.0, 1.0) * np.sqrt(3.0)
        m_g[dead], colour[dead], weight[dead] = dead_m_g + WD_SCATTER_MAG * spread, dead_colour, 0.0
    return StarPlace(m_g, colour, weight)


def star_magnitudes(
    stage: Float[np.ndarray, " star"],
    feh_dex: Float[np.ndarray, " star"],
    age_gyr: Float[np.ndarray, " star"],
    variety: Float[np.ndarray, " star"],
    rng: np.random.Generator,
    bands: BandSet = STANDARD,
) -> Float[np.ndarray, "star band"]:
    """Return the absolute magnitudes of single stars, with the intrinsic scatter of luminosity and colours. [mag]"""
    relations = sky_colour_relations(bands)
    place = place_stars(stage, feh_dex, age_gyr, variety)
    # Clipped, so that the padded limits of the sky's proposals hold all of it.
    m_g = place.m_g_mag + M_G_SCATTER_MAG * np.clip(rng.standard_normal(len(stage)), -3.0, 3.0)
    colours = relations.colours(place.bp_rp_mag, feh_dex, place.giant_weight)
    return m_g[:, None] + colours + relations.scatter(place.bp_rp_mag, rng)


def system_magnitudes(
    library: Library,
    row: Int[np.ndarray, " star"],
    feh_dex: Float[np.ndarray, " star"],
    rng: np.random.Generator,
    bands: BandSet = STANDARD,
) -> Float[np.ndarray, "star band"]:
    """Return the absolute magnitudes of systems of a library, at metallicities that may differ from the library's. [mag]"""
    assert isinstance(library, SkyLibrary)
    age, variety = library.age_gyr[row], library.variety[row]
    total = star_magnitudes(library.phase[row], feh_dex, age, variety, rng, bands)
    double = np.flatnonzero(library.companion_mass_msun[row] > 0)
    second = star_magnitudes(
        library.companion_phase[row[double]],
        feh_dex[double],
        age[double],
        1.0 - variety[double],
        rng,
        bands,
    )
    total[double] = -2.5 * np.log10(10.0 ** (-0.4 * total[double]) + 10.0 ** (-0.4 * second))
    return total


def stage_of_mass(
    corner: Corner, mass_msun: Float[np.ndarray, " star"], oldest_mass_msun: Float[np.ndarray, " star"]
) -> Float[np.ndarray, " star"]:
    """Return the stage of stars of given initial mass, dead ones included."""
    cooled = 1.0 - (np.maximum(mass_msun, oldest_mass_msun) / oldest_mass_msun) ** -_LIFETIME_SLOPE
    return np.where(
        mass_msun > oldest_mass_msun,
        1.0 + np.maximum(cooled, 1e-6),
        load_tracks().stage_of_mass(corner, np.log(mass_msun)),
    )


def draw_library(component: Component, n_systems: int, rng: np.random.Generator) -> SkyLibrary:
    """Draw weighted systems of a component."""
    tracks = load_tracks()
    age = rng.uniform(*component.age_range_gyr, n_systems)
    feh = np.clip(component.draw_feh_dex(n_systems, rng), *FEH_LIMITS_DEX)
    corner = tracks.corner(overall_metallicity_dex(feh), age)
    oldest = np.exp(tracks.at(tracks.log_mass, corner, np.ones(n_systems)))

    dead = rng.random(n_systems) < _DEAD_SHARE
    stage = rng.random(n_systems)
    log_mass = tracks.at(tracks.log_mass, corner, stage)
    per_stage = tracks.mass_per_stage(corner, stage)
    # White dwarfs: uniform in log mass from the last star alive up.
    span = np.log(MASS_MAX_MSUN / oldest)
    log_mass = np.where(dead, np.log(oldest) + span * rng.random(n_systems), log_mass)
    mass = np.exp(log_mass)
    weight = system_mass_density(mass) * mass
    weight = weight * np.where(dead, span / _DEAD_SHARE, per_stage / (1.0 - _DEAD_SHARE))
    stage = np.where(dead, 1.0 + np.maximum(1.0 - (mass / oldest) ** -_LIFETIME_SLOPE, 1e-6), stage)

    double = rng.random(n_systems) < binary_share(mass)
    companion = np.where(double, rng.random(n_systems) * mass, 0.0)
    # Lighter companions are dark.
    companion = np.where(companion < MASS_MIN_MSUN, 0.0, companion)
    has = np.flatnonzero(companion > 0)
    companion_stage = np.zeros(n_systems)
    there = Corner(corner.metal[has], corner.age[has], corner.metal_share[has], corner.age_share[has])
    companion_stage[has] = stage_of_mass(there, companion[has], oldest[has])

    variety = rng.random(n_systems)
    flux = 10.0 ** (-0.4 * place_stars(stage, feh, age, variety).m_g_mag)
    second = place_stars(companion_stage[has], feh[has], age[has], 1.0 - variety[has])
    flux[has] += 10.0 ** (-0.4 * second.m_g_mag)
    m_g = -2.5 * np.log10(flux)
    order = np.argsort(m_g)
    cumulative = np.cumsum(weight[order])
    return SkyLibrary(
        m_g_mag=m_g[order],
        cumulative=cumulative / cumulative[-1],
        feh_dex=feh[order],
        age_gyr=age[order],
        mass_msun=mass[order],
        phase=stage[order],
        companion_mass_msun=companion[order],
        companion_phase=companion_stage[order],
        variety=variety[order],
    )
