"""The population ``sky``: its systems against plain sampling, its loci and counts against stars that were kept out."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

import redflower
from redflower.bands import BANDS
from redflower.catalogue import default_distance_prior, packaged_distance_prior
from redflower.errors import InputError
from redflower.photometric_scales import make_scale
from redflower.provenance import META_KEY, PHOTOMETRY_KEY
from redflower.simulate.colours import sky_colour_relations
from redflower.simulate.milky_way import SKY_COMPONENTS
from redflower.simulate.population import SKY_SCALE
from redflower.simulate.populations import FEH_LIMITS_DEX, MASS_MAX_MSUN, MASS_MIN_MSUN
from redflower.simulate.sky_stars import (
    binary_share,
    draw_library,
    place_stars,
    stage_of_mass,
    system_mass_density,
)
from redflower.simulate.survey import ps1_drift_mag
from redflower.simulate.tracks import load_tracks, overall_metallicity_dex

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

LABELS = [band.label for band in BANDS]


@pytest.mark.parametrize("component", SKY_COMPONENTS, ids=lambda component: component.name)
def test_library_has_the_luminosity_function_of_plain_sampling(component) -> None:
    """Systems drawn by mass, age and metallicity, without weights, against the library's weighted stages.

    With 100,000 plain systems and 40,000 draws of the library the Kolmogorov-Smirnov distance of equal distributions
    stays under 1.95 sqrt(1/100,000 + 1/40,000) = 0.0115 in 999 of 1,000 cases. The library itself is a weighted sample
    of 250,000; half of its systems, and nine tenths of those fainter than M_G = 5, share two fifths of its rows, which
    adds 0.004.
    """
    rng = np.random.default_rng(3)
    n = 100_000
    grid = np.geomspace(MASS_MIN_MSUN, MASS_MAX_MSUN, 20_000)
    share = np.cumsum(system_mass_density(grid) * grid)
    mass = np.interp(rng.random(n) * share[-1], share, grid)
    age = rng.uniform(*component.age_range_gyr, n)
    feh = np.clip(component.draw_feh_dex(n, rng), *FEH_LIMITS_DEX)
    companion = np.where(rng.random(n) < binary_share(mass), rng.random(n) * mass, 0.0)
    tracks = load_tracks()
    corner = tracks.corner(overall_metallicity_dex(feh), age)
    oldest = np.exp(tracks.at(tracks.log_mass, corner, np.ones(n)))
    variety = rng.random(n)
    flux = 10.0 ** (-0.4 * place_stars(stage_of_mass(corner, mass, oldest), feh, age, variety).m_g_mag)
    second = place_stars(
        stage_of_mass(corner, np.maximum(companion, MASS_MIN_MSUN), oldest), feh, age, 1.0 - variety
    )
    flux += np.where(companion >= MASS_MIN_MSUN, 10.0 ** (-0.4 * second.m_g_mag), 0.0)
    m_g = -2.5 * np.log10(flux)

    library = draw_library(component, 250_000, rng)
    row = library.draw_between(np.full(40_000, -20.0), np.full(40_000, 40.0), rng)
    assert ks_2samp(m_g, library.m_g_mag[row]).statistic < 0.0155
    # The rare bright systems: 10,000 draws brighter than M_G = 4 against some thousands of plain ones.
    bright = library.draw_between(np.full(10_000, -20.0), np.full(10_000, 4.0), rng)
    plain = m_g[m_g < 4.0]
    assert (
        ks_2samp(plain, library.m_g_mag[bright]).statistic
        < 1.95 * np.sqrt(1 / len(plain) + 1 / 10_000) + 0.004
    )


def test_stage_of_a_mass_is_where_that_mass_stands() -> None:
    """Bisection of 22 steps leaves 2e-7 of a stage, at most 3e-6 in the log of the mass."""
    tracks = load_tracks()
    rng = np.random.default_rng(0)
    stage = rng.random(1000)
    corner = tracks.corner(rng.uniform(-2.2, 0.3, 1000), rng.uniform(0.3, 13.0, 1000))
    log_mass = tracks.at(tracks.log_mass, corner, stage)
    again = tracks.at(tracks.log_mass, corner, tracks.stage_of_mass(corner, log_mass))
    np.testing.assert_allclose(again, log_mass, atol=5e-6)


def test_metal_poor_dwarfs_are_fainter_and_bluer_than_the_suns_kind() -> None:
    """At BP - RP = 0.9 a dwarf of [Fe/H] = -1.5 is fainter by 0.7 to 1.3 mag, as subdwarfs are.

    Ivezic et al. (2008, ApJ 684, 287, eq. A7) have 1.25 mag at a fixed g - i, at which BP - RP is redder by 0.03.
    """
    tracks = load_tracks()
    found = []
    for feh_dex in (0.0, -1.5):
        stage = np.linspace(0.25, 0.34, 400)
        corner = tracks.corner(np.full(400, overall_metallicity_dex(np.array(feh_dex))), np.full(400, 9.0))
        m_g, colour = tracks.at(tracks.m_g_mag, corner, stage), tracks.at(tracks.bp_rp_mag, corner, stage)
        order = np.argsort(colour)
        found.append(np.interp(0.9, colour[order], m_g[order]))
    assert 0.7 < found[1] - found[0] < 1.3


def test_a_sky_states_its_scale_and_its_population() -> None:
    sky = redflower.simulate(300, seed=1, population="sky", g_faint_mag=17.0, include_truth=True)
    assert sky.meta[META_KEY][PHOTOMETRY_KEY] == make_scale(SKY_SCALE).as_dict()
    assert sky.meta["simulation"]["population"] == "sky"
    assert np.isfinite(np.asarray(sky["true_feh"])).all()
    with pytest.raises(InputError, match="population"):
        redflower.simulate(10, seed=1, population="elsewhere")


def test_halo_stars_are_metal_poor_and_high() -> None:
    """Means of 2,000 stars or more: 0.02 dex at one sigma."""
    sky = redflower.simulate(20_000, seed=4, population="sky", include_truth=True)
    component, feh = np.asarray(sky["true_component"]), np.asarray(sky["true_feh"])
    halo, thick, thin = component == 4, component == 3, component < 3
    assert -1.5 < feh[halo].mean() < -1.2
    assert 0.35 < feh[halo].std() < 0.55
    assert -0.75 < feh[thick].mean() < -0.5
    assert -0.3 < feh[thin].mean() < 0.0
    distance = sky["true_distance"].to_value("pc")
    assert np.median(distance[halo]) > np.median(distance[thick]) > np.median(distance[thin])


def test_the_drift_of_pan_starrs_is_a_broken_line() -> None:
    magnitude = np.repeat(np.array([[13.0], [14.5], [15.0], [17.0], [22.0]]), 11, axis=1)
    drift = {"nodes_mag": (14.0, 15.0, 16.0, 20.0), "mag_per_mag": [[0.001] * 5, [0.002] * 5]}
    out = ps1_drift_mag(magnitude, drift)
    np.testing.assert_allclose(out[:, 3], [-0.001, -0.0005, 0.0, 0.003, 0.009])
    assert (out[:, [0, 1, 2, 8, 9, 10]] == 0).all()


def test_each_population_has_its_distance_prior() -> None:
    mock, sky = default_distance_prior(), default_distance_prior("sky")
    assert mock.sha256 != sky.sha256
    assert packaged_distance_prior(sky.sha256).name == sky.name
    assert packaged_distance_prior(None).name == mock.name
    with pytest.raises(InputError, match="population"):
        default_distance_prior("elsewhere")


def test_loci_of_held_out_stars_are_within_ten_millimagnitudes(shared_data: Path) -> None:
    """Medians of every optical colour in bins of [Fe/H] and M_G, within 10 mmag and three of their standard errors."""
    from benchmarks.real_stars.sky_population import held_out_loci

    rows = held_out_loci(shared_data / "green2020_10k_stars.h5")
    optical = [row for row in rows if row[1] not in ("J", "H", "Ks")]
    assert len(optical) > 100
    bad = [row for row in optical if abs(row[4]) > 0.010 + 3.0 * row[5]]
    assert not bad
    # Bins of 50 stars and more have errors below 3 mmag: there the limit stands alone.
    assert not [row for row in optical if row[3] >= 50 and abs(row[4]) > 0.010]


def test_stripe_82_has_the_simulated_counts_and_loci(shared_data: Path) -> None:
    """Counts by the local density alone within a fifth; colours of F to K dwarfs at fixed g - i within 10 mmag.

    Cosmic variance, clumps of the halo and the choice among published shares of the thick disc leave a fifth. M dwarfs
    (g - i > 1.3) are not judged: see docs/explanation/population.md.
    """
    from benchmarks.real_stars.sky_population import expected_counts, field_table, locus, simulated_field

    real = field_table(shared_data / "s82_gaiadr2_ps1.fits")
    edges = np.array([14.5, 15.5, 16.5, 17.5, 18.5, 19.5, 20.5])
    seen = np.histogram(real["G"][np.isfinite(real["G"])], edges)[0]
    ratio = seen / expected_counts("sky", edges, np.random.default_rng(5)).sum(axis=0)
    assert (np.abs(ratio - 1.0) < 0.2).all(), ratio

    mock = simulated_field("sky", 20_000)
    for low, high in ((14.5, 16.0), (16.0, 17.0), (17.0, 18.0), (18.0, 19.0)):
        for label in ("r", "z", "y"):
            middle = [locus(side, ("g", "i"), "i", label, (low, high), (0.5, 0.9)) for side in (real, mock)]
            assert abs(middle[0][0] - middle[1][0]) < 0.010, (low, label)


def test_colours_of_the_coolest_dwarfs_run_on_as_those_of_m_dwarfs_do() -> None:
    """g - r of M dwarfs is a plateau, and r - i, i - z and y - J grow with falling temperature to the end."""
    bp_rp = np.linspace(2.0, 3.4, 29)
    colours = sky_colour_relations().colours(bp_rp, np.full(29, -0.05), np.zeros(29))

    def colour(blue: str, red: str) -> np.ndarray:
        return colours[:, LABELS.index(blue)] - colours[:, LABELS.index(red)]

    assert ((colour("g", "r") > 1.1) & (colour("g", "r") < 1.35)).all()
    for blue, red in (("r", "i"), ("i", "z"), ("z", "y"), ("y", "J")):
        assert (np.diff(colour(blue, red)) > 0).all(), (blue, red)
    assert np.ptp(colour("J", "Ks")) < 0.15


def test_real_m_dwarfs_have_the_simulated_colours(shared_data: Path) -> None:
    """Stars out of the fit, at fixed r - i, within 0.05 mag and three errors of a median; Orion's young ones within 0.1.

    An error of 0.05 mag in one colour is one of about as much E(B-V), the size of what a star's posterior allows.
    """
    from benchmarks.real_stars.cool_dwarfs import cool_loci

    rows = cool_loci(shared_data)
    assert len(rows) > 35
    allowed_mag = {row: 0.1 if row[0].startswith("Orion") else 0.05 + 3.0 * row[5] for row in rows}
    assert not [row for row, most in allowed_mag.items() if abs(row[4]) > most]
