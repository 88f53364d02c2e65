"""Absolute magnitudes of mock systems in every band: both stars' light together."""

from typing import Final

import numpy as np
from jaxtyping import Float, Int

from redflower.bands import STANDARD, BandSet
from redflower.simulate.colours import load_colour_relations
from redflower.simulate.populations import Library, place_stars

#: Scatter of M_G about the ridge lines at given mass, age and [Fe/H]: rotation, helium, alpha elements. [mag]
M_G_SCATTER_MAG: Final = 0.08


def star_magnitudes(
    mass_msun: Float[np.ndarray, " star"],
    phase: Float[np.ndarray, " star"],
    feh_dex: Float[np.ndarray, " star"],
    age_gyr: Float[np.ndarray, " star"],
    rng: np.random.Generator,
    bands: BandSet = STANDARD,
) -> Float[np.ndarray, "star band"]:
    """Return the absolute magnitudes of single stars, with the intrinsic scatter of luminosity and colours. [mag]"""
    relations = load_colour_relations(bands)
    place = place_stars(mass_msun, phase, feh_dex, age_gyr)
    # Clipped, so that the padded limits of the sky's proposals hold all of it.
    scatter = np.clip(rng.standard_normal(len(place.m_g_mag)), -3.0, 3.0)
    m_g = place.m_g_mag + M_G_SCATTER_MAG * scatter
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
    age = library.age_gyr[row]
    total = star_magnitudes(library.mass_msun[row], library.phase[row], feh_dex, age, rng, bands)
    double = np.flatnonzero(library.companion_mass_msun[row] > 0)
    companion = row[double]
    second = star_magnitudes(
        library.companion_mass_msun[companion],
        library.companion_phase[companion],
        feh_dex[double],
        age[double],
        rng,
        bands,
    )
    total[double] = -2.5 * np.log10(10.0 ** (-0.4 * total[double]) + 10.0 ** (-0.4 * second))
    return total
