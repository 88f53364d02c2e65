"""The law corrected by real stars: its closed form, its ends, its error, and the stars that had no part in it."""

import csv
import importlib.resources
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.api.training import _simulated_law
from redflower.bands import BAND_INDEX, BP, RP, G
from redflower.errors import InputError
from redflower.physics import (
    LAW_NAMES,
    Zhang23CorrectedLaw,
    Zhang23Law,
    default_law,
    effective_temperature_k,
    law_of_name,
)
from redflower.provenance import LAW_KEY

PRINTED, CORRECTED = Zhang23Law(), Zhang23CorrectedLaw()
PS1_G = BAND_INDEX["ps1_g"]
BP_RP_MAG = np.linspace(-0.4, 2.4, 57)
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def rows() -> list[dict[str, str]]:
    text = importlib.resources.files("redflower").joinpath("data/zhang23_correction.csv").read_text("utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


def over_colour(law: Zhang23Law | Zhang23CorrectedLaw, ebv_mag: float = 0.2) -> np.ndarray:
    return np.asarray(jax.vmap(lambda c: law.coefficients(ebv_mag, c))(jnp.asarray(BP_RP_MAG)), dtype=float)


@pytest.mark.equation("EP9")
def test_the_correction_is_a_cubic_in_temperature_added_to_the_printed_law() -> None:
    teff_k = np.asarray(jax.vmap(effective_temperature_k)(jnp.asarray(BP_RP_MAG)), dtype=float)
    arm = (np.clip(teff_k, 4000, 8000) - 6000) / 1000
    cubics = [[float(row[f"d{power}"]) for power in (3, 2, 1, 0)] for row in rows()]
    expected = over_colour(PRINTED) + np.stack([np.polyval(cubic, arm) for cubic in cubics], axis=1)
    # Float32 of numbers up to 5: 5e-7, and the temperature's rounding, 1e-3 K, at a slope of at most 1.5 per 1000 K.
    np.testing.assert_allclose(over_colour(CORRECTED), expected, atol=5e-6)


@pytest.mark.equation("EP9")
def test_what_stars_without_distances_do_not_say_stays_as_printed() -> None:
    printed, corrected = over_colour(PRINTED), over_colour(CORRECTED)
    np.testing.assert_array_equal(corrected[:, G], printed[:, G])
    np.testing.assert_allclose(
        corrected[:, BP] - corrected[:, RP], printed[:, BP] - printed[:, RP], atol=2e-6
    )
    # The shape in E is the printed one, and beyond the ends the correction keeps its value.
    by_ebv = [over_colour(CORRECTED, e) - over_colour(PRINTED, e) for e in (0.0, 0.3, 0.9)]
    np.testing.assert_allclose(by_ebv[1], by_ebv[0], atol=2e-6)
    np.testing.assert_allclose(by_ebv[2], by_ebv[0], atol=2e-6)
    ends = over_colour(CORRECTED) - over_colour(PRINTED)
    np.testing.assert_allclose(
        ends[BP_RP_MAG > 1.62], ends[-1] + np.zeros((np.sum(BP_RP_MAG > 1.62), 11)), atol=2e-6
    )
    np.testing.assert_array_equal(
        np.asarray(CORRECTED.in_range(0.2, 0.8)), np.asarray(PRINTED.in_range(0.2, 0.8))
    )


#: Teff [K], BP - RP that it goes with, and (A_g - A_G) / (A_BP - A_RP) of real stars with its error: the table of decision 2,
#: measured another way (excesses against r, by medians) than the correction was.
REAL_STARS = [(4654, 0.968, 0.016), (5310, 0.836, 0.007), (5832, 0.747, 0.005), (6418, 0.698, 0.011)]


@pytest.mark.equation("EP9")
@pytest.mark.parametrize(("teff_k", "ratio", "error"), REAL_STARS)
def test_the_g_excess_is_that_of_real_stars_within_the_stated_error(
    teff_k: float, ratio: float, error: float
) -> None:
    colours = np.linspace(0.3, 1.6, 1301)
    temperatures = np.asarray(jax.vmap(effective_temperature_k)(jnp.asarray(colours)))
    bp_rp = float(np.interp(-teff_k, -temperatures, colours))
    found = {}
    for law in (PRINTED, CORRECTED):
        r = np.asarray(law.coefficients(0.2, bp_rp), dtype=float)
        found[law.name] = (r[PS1_G] - r[G]) / (r[BP] - r[RP])
    own = float(CORRECTED.coefficient_error(bp_rp)[PS1_G]) / (r[BP] - r[RP])
    # Three sigma of both, and 0.02 for the bins of temperature, which are 500 K wide and span 0.04 of the ratio.
    assert abs(found[CORRECTED.name] - ratio) < 3 * np.hypot(own, error) + 0.02
    assert abs(found[PRINTED.name] - ratio) > abs(found[CORRECTED.name] - ratio)


def test_the_printed_g_coefficient_was_too_large_by_up_to_an_eighth_and_never_too_small() -> None:
    stars = (BP_RP_MAG > 0.35) & (BP_RP_MAG < 1.65)
    ratio = (over_colour(CORRECTED) / over_colour(PRINTED))[stars, PS1_G]
    assert ratio.min() > 0.82
    assert ratio.max() < 0.99


def test_the_error_is_nought_for_g_and_largest_where_stars_are_few() -> None:
    error = np.asarray(jax.vmap(CORRECTED.coefficient_error)(jnp.asarray([0.1, 0.8, 1.6])))
    np.testing.assert_array_equal(error[:, G], 0.0)
    np.testing.assert_array_equal(error[:, BP], error[:, RP])
    assert (error[:, PS1_G:] > 0).all()
    assert (error[1, PS1_G:] < 0.05).all()


def test_laws_have_names_and_simulated_skies_say_theirs() -> None:
    assert default_law() == CORRECTED
    assert [law_of_name(name).name for name in LAW_NAMES] == list(LAW_NAMES)
    assert law_of_name(None) == CORRECTED
    with pytest.raises(InputError, match="one of zhang23-corrected, zhang23; got 'fitzpatrick'"):
        law_of_name("fitzpatrick")
    assert _simulated_law({}) is None
    assert _simulated_law({"source": {LAW_KEY: "zhang23"}}) == "zhang23"


def test_simulated_stars_record_the_law_of_their_dust() -> None:
    from redflower import simulate
    from redflower.provenance import META_KEY

    def law(population: str) -> str:
        sky = simulate(20, seed=1, preset="one-cloud", population=population)
        return str(sky.meta[META_KEY][LAW_KEY])

    assert law("mock") == "zhang23"
    assert law("sky") == "zhang23-corrected"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import derive_extinction_correction as module
    finally:
        sys.path.remove(str(SCRIPTS))
    return module


def synthetic(script: ModuleType, cubic: np.ndarray, n: int = 3000) -> object:
    """Stars of one locus whose g follows the printed law plus a cubic, with noisy r and BP - RP off its spectrum."""
    rng = np.random.default_rng(3)
    teff = rng.uniform(4300, 7500, n)
    inverse = 5040 / teff - 0.9
    spectrum = np.stack([inverse**i * 0.0**j * 0.0**k for i, j, k in script.POWERS], axis=1)
    bp_rp = np.interp(-teff, *bp_rp_of_teff()) + 0.02 * rng.standard_normal(n)  # spectra are not exact
    ebv = np.where(rng.random(n) < 0.5, 0.02, 0.35) * rng.random(n)
    r = script.coefficients(ebv, bp_rp)
    r[:, PS1_G] += np.polyval(cubic, script.arm_of(bp_rp))
    colour = np.zeros((n, 11))
    colour[:, PS1_G] = 0.4 * bp_rp**2
    colour[:, BP], colour[:, RP] = 0.5 * bp_rp, -0.5 * bp_rp
    colour += (r - r[:, [G]]) * ebv[:, None] + 0.005 * rng.standard_normal((n, 11))
    said = ebv / 0.9 + 0.02 * rng.standard_normal(n)
    return script.Sample(
        spectrum,
        colour,
        np.ones((n, 11), bool),
        said,
        rng.random(n) < 0.5,
        np.zeros(n, bool),
        np.zeros(n, bool),
    )


def bp_rp_of_teff() -> tuple[np.ndarray, np.ndarray]:
    colours = np.linspace(0.1, 1.6, 600)
    return -np.asarray(jax.vmap(effective_temperature_k)(jnp.asarray(colours)), dtype=float), colours


def test_a_planted_correction_comes_back_within_its_error(script: ModuleType) -> None:
    planted = np.array([-0.02, 0.05, 0.10, -0.15])
    stars = synthetic(script, planted)
    red, _ = script.first_stage(stars, stars)
    found, covariance = script.second_stage(stars, red, PS1_G, 40, np.random.default_rng(1))
    for teff_k in (4500, 5000, 5500, 6000, 6500, 7000):
        arm = (teff_k - 6000) / 1000
        error = script.error_at(covariance, teff_k)
        # Four sigma of the bootstrap, so that one of six fails by chance once in 3,000; and 0.01 for the curvature of 0.4 x^2
        # under the star-by-star scatter of BP - RP.
        assert abs(np.polyval(found, arm) - np.polyval(planted, arm)) < 4 * error + 0.01
        assert error < 0.03


def test_stars_kept_out_prefer_the_corrected_law_in_g(shared_data: Path, script: ModuleType) -> None:
    stars = script.load(shared_data / "green2020_10k_stars.h5")
    cubic = np.array([float(rows()[PS1_G][f"d{power}"]) for power in (3, 2, 1, 0)])
    found = script.judge(stars.at(~stars.held_out), stars.at(stars.held_out), {PS1_G: cubic})
    bias = {
        law: np.array([row["bias"] for row in found if row["law"] == law]) for law in ("printed", "corrected")
    }
    assert len(bias["printed"]) == 8
    # Stated errors of g are 0.02 to 0.05, of a bin of stars kept out 0.004 to 0.012.
    assert np.abs(bias["corrected"]).max() < 0.05
    assert bias["printed"].max() < -0.09
