"""The fast engine with the shipped model: exactness, calibration, bookkeeping, bad input.

That it gives the posterior of long NUTS runs on 500 stars is `benchmarks/engine/agreement.py`; here the exact weights of many
draws stand in, which use the same log density and no emulator.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, kstest

from redflower.errors import InputError, ModelError
from redflower.flow import load_model
from redflower.posterior import Flag, InferenceSettings, Status, infer_stars, joint_density
from redflower.posterior.batches import map_stars
from redflower.posterior.density import density_of_draws
from redflower.posterior.fast.grid_summaries import quantiles, refined
from redflower.posterior.settings import FastSettings
from redflower.posterior.status import FAST, IMPORTANCE
from redflower.star import Star
from tests.helpers.flows import random_model
from tests.helpers.model_stars import draw_model_stars

MODEL = load_model("mock-sky")
SETTINGS = InferenceSettings(hand_on=False)
IDS = np.arange(10_000, 10_000 + 640)


def drawn(
    n: int, seed: int, n_observed: int = 11, *, with_parallax: bool = True
) -> tuple[Star, np.ndarray, np.ndarray]:
    return draw_model_stars(MODEL, n, seed, n_observed=n_observed, with_parallax=with_parallax)


def fast_only(settings: InferenceSettings = SETTINGS) -> InferenceSettings:
    """Settings with which no star leaves the first step, so that it is the first step that is tested."""
    return dataclasses.replace(settings, fast=FastSettings.first_step_only())


@pytest.fixture(scope="module")
def mixed() -> tuple[Star, np.ndarray]:
    """64 stars with 11, 8 and 3 bands, with and without a parallax."""
    parts = [
        drawn(16, 1), drawn(16, 2, 8), drawn(8, 3, 3), drawn(16, 4, with_parallax=False),
        drawn(8, 5, 8, with_parallax=False),
    ]  # fmt: skip
    stars = jax.tree.map(lambda *a: np.concatenate(a), *[p[0] for p in parts])
    return stars, np.concatenate([p[1] for p in parts])


@pytest.mark.equation("EF4")
@pytest.mark.equation("EF5")
def test_quadrature_gives_the_exact_posterior(mixed) -> None:
    """Against 4096 exact weights a star: mean within 0.15 sigma for 95 % of the stars that stay with the first step.

    The weighted means have errors of 0.02 to 0.05 sigma of their own. Of 64 stars at a true rate of 0.95, fewer than 54
    pass once in 10,000 times.
    """
    stars, _ = mixed
    result = infer_stars(MODEL, stars, IDS[:64], SETTINGS)
    weights = FastSettings(min_check_ess=1.1, refine_rounds=4, min_round_ess=0.0, min_refine_ess=np.inf)
    exact = infer_stars(MODEL, stars, IDS[:64] + 7, dataclasses.replace(SETTINGS, fast=weights))
    assert not (exact["engine"] == FAST).any()
    inferred = result["engine"] != ""  # dust dims some out of the sample's limits
    settled = result["engine"] == FAST
    # With errors of every size fewer are settled than in a survey, 31 of 55; of fewer than 25 the test below would say little.
    assert settled.sum() >= 25
    for name in ("ebv", "distance"):
        shift = np.abs(result[f"{name}_mean"] - exact[f"{name}_mean"]) / exact[f"{name}_std"]
        n = int(settled.sum())
        assert (shift[settled] < 0.15).sum() >= binom.ppf(1e-4, n, 0.95), (name, np.sort(shift[settled])[-8:])
    ratio = result["ebv_std"] / exact["ebv_std"]
    assert (np.abs(ratio[settled] - 1.0) < 0.1).sum() >= binom.ppf(1e-4, int(settled.sum()), 0.90)
    assert set(result["engine"][inferred]) == {FAST, IMPORTANCE}


def test_posteriors_are_calibrated_over_the_prior() -> None:
    """Simulation-based calibration: quantile of the truth, uniform for stars drawn from prior and model.

    Stars that dust dims out of the limits are left out: a choice by the data alone, which calibration survives.

    Kolmogorov-Smirnov over 256 stars, false alarm 1e-4 each for E and distance; first step alone, 11 and 8 bands.
    """
    for n_observed, seed in ((11, 21), (8, 22)):
        stars, ebv, distance = drawn(256, seed, n_observed)
        result = infer_stars(MODEL, stars, IDS[:256], fast_only(dataclasses.replace(SETTINGS, density=True)))
        density = joint_density(result)
        mass = np.exp(density.log_density())
        inferred = np.isfinite(result["ebv_mean"])
        assert inferred.sum() > 150
        for truth, axis, nodes in (
            (ebv, 1, density.ebv_nodes_mag()),
            (5.0 * np.log10(distance / 10.0), 2, density.modulus_nodes_mag()),
        ):
            marginal = mass.sum(axis=axis)
            rows = zip(nodes[inferred], marginal[inferred], truth[inferred], strict=True)
            place = np.array([_cdf_at(*row) for row in rows])
            assert kstest(place, "uniform").pvalue > 1e-4, (n_observed, axis)


def test_rounds_of_weights_go_on_until_they_suffice(mixed) -> None:
    """All stars by the second step: alone or among others, more rounds only where one is too few, and no quiet failure."""
    stars, _ = mixed
    rows = np.arange(0, 64, 2)
    # Rounds of so few nodes that one is seldom enough, and limits that are for so many.
    n_nodes = 128
    per_usual = n_nodes / FastSettings().refine_nodes

    def run(which: np.ndarray, **changes) -> dict[str, np.ndarray]:
        fast = FastSettings(
            min_check_ess=1.1, refine_nodes=n_nodes, min_round_ess=3.75 * per_usual, **changes
        )
        part = jax.tree.map(lambda a: a[which], stars)
        return infer_stars(MODEL, part, IDS[which], dataclasses.replace(SETTINGS, fast=fast))

    one, many = run(rows, refine_rounds=1), run(rows)
    inferred = many["engine"] == IMPORTANCE
    assert inferred.sum() > 20
    least = FastSettings().min_refine_ess
    enough = one["ess"] >= least
    np.testing.assert_array_equal(one["ess"][inferred & enough], many["ess"][inferred & enough])
    # Of those that a round does not settle some are given up at once, and the others have more draws by the end.
    more = inferred & ~enough & (one["ess"] >= 25.0 * per_usual)
    assert more.any()
    assert (many["ess"][more] > one["ess"][more]).all()
    unsettled = inferred & ((many["ess"] < least) | ~(many["pareto_k"] < 0.7))
    assert not np.isin(many["status"][unsettled], ["ok", ""]).any()
    shuffled = np.random.default_rng(2).permutation(rows)[:20]
    again = run(shuffled)
    at = np.searchsorted(rows, shuffled)
    close = np.abs(again["ebv_mean"] - many["ebv_mean"][at]) < 1e-3 * many["ebv_std"][at]
    assert close[inferred[at]].all()


def _cdf_at(nodes: np.ndarray, density: np.ndarray, value: float) -> float:
    fine_nodes, fine = (
        np.asarray(a, dtype=float)
        for a in refined(jnp.asarray(nodes, jnp.float32), jnp.asarray(density, jnp.float32))
    )
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (fine[1:] + fine[:-1]))])
    return float(np.interp(value, fine_nodes, cumulative / cumulative[-1]))


def test_order_batches_and_padding_do_not_matter(mixed) -> None:
    stars, _ = mixed
    rows = np.random.default_rng(0).permutation(64)[:40]
    one = infer_stars(MODEL, stars, IDS[:64], fast_only())
    some = infer_stars(MODEL, jax.tree.map(lambda a: a[rows], stars), IDS[rows], fast_only())
    # To rounding: which lane of a vector a star sits in changes its last bits.
    for name, scale in (("ebv_mean", "ebv_std"), ("ebv_std", "ebv_std"), ("distance_mean", "distance_std")):
        shift = np.abs(some[name] - one[name][rows]) / one[scale][rows]
        assert np.nanmax(shift) < 1e-3, name
    np.testing.assert_array_equal(np.isnan(some["ebv_mean"]), np.isnan(one["ebv_mean"][rows]))
    np.testing.assert_allclose(some["log_evidence"], one["log_evidence"][rows], atol=2e-3)


def test_stored_density_has_the_moments_of_the_row(mixed) -> None:
    """Steps of 0.1 nat move a mean by less than 0.02 sigma; draws' kernels widen by 5 %, which is allowed for."""
    stars, _ = mixed
    result = infer_stars(MODEL, stars, IDS[:64], dataclasses.replace(SETTINGS, density=True))
    assert (result["engine"] == FAST).sum() >= 25
    density = joint_density(result)
    mass = np.exp(density.log_density())
    for edge in (mass[:, :1], mass[:, -1:], mass[:, :, :1], mass[:, :, -1:]):
        edge *= 0.5  # the trapezium rule, which counts where the prior cuts the posterior off
    with np.errstate(invalid="ignore"):
        mass /= mass.sum(axis=(1, 2), keepdims=True)
    mean = (mass.sum(axis=1) * density.ebv_nodes_mag()).sum(axis=1)
    # Where the weights did not suffice and nothing is handed on, a few draws make the density.
    settled = np.isfinite(result["ebv_mean"]) & (result["status"] != Status.LOW_ESS)
    assert settled.sum() > 40
    # A mirrored kernel of width h moves the mean by about h^2 f at an end where the density is f; h is 0.35 sigma for 540
    # effective draws, and f at most 0.8 / sigma: 0.1 sigma.
    at_end = result["status"] == Status.EDGE_OF_PRIOR
    bound = np.where(at_end & (result["engine"] == IMPORTANCE), 0.1, 0.03) * result["ebv_std"]
    # On a grid that the prior cuts off, few nodes of E hold the mass, so that steps do not average out. Half a step, 0.05 nat,
    # moves a mean by 0.05 of the mean absolute deviation at most.
    off_mag = np.abs(density.ebv_nodes_mag() - mean[:, None])
    most_mag = 0.05 * (mass.sum(axis=1) * off_mag).sum(axis=1)
    bound = np.where(at_end & (result["engine"] == FAST), most_mag, bound)
    assert (np.abs(mean - result["ebv_mean"]) < bound)[settled].all()
    assert result["density"].dtype == np.uint8


def test_density_of_draws_matches_theirs() -> None:
    rng = np.random.default_rng(2)
    ebv = np.clip(0.2 + 0.03 * rng.standard_normal((2, 4000)), -0.05, 0.5)
    modulus = 9.0 + 2.0 * (ebv - 0.2) + 0.1 * rng.standard_normal(ebv.shape)
    density = joint_density(density_of_draws(ebv, modulus, np.zeros_like(ebv), (-0.05, 0.5)))
    mass = np.exp(density.log_density())
    mass /= mass.sum(axis=(1, 2), keepdims=True)
    e = density.ebv_nodes_mag()
    mean = (mass.sum(axis=1) * e).sum(axis=1)
    std = np.sqrt((mass.sum(axis=1) * (e - mean[:, None]) ** 2).sum(axis=1))
    np.testing.assert_allclose(mean, ebv.mean(axis=1), atol=0.03 * 0.03)
    np.testing.assert_allclose(std, ebv.std(axis=1), rtol=0.06)


def test_quantiles_of_a_normal_density_on_few_nodes() -> None:
    nodes = jnp.linspace(-5.0, 5.0, 12)
    values = quantiles(nodes, jnp.exp(-0.5 * nodes**2), jnp.array([0.05, 0.5, 0.84]))
    # Trapezium cells of 0.23 sigma after refinement: a hundredth of sigma.
    np.testing.assert_allclose(values, [-1.6449, 0.0, 0.9945], atol=0.02)


def test_bimodal_posteriors_keep_both_modes() -> None:
    """A red star without a parallax is a dwarf nearby or a giant far off: the grid and NUTS-free weights show both."""
    stars, _, _ = drawn(64, 9, 8, with_parallax=False)
    result = infer_stars(MODEL, stars, IDS[:64], dataclasses.replace(fast_only(), density=True))
    marginal = np.exp(joint_density(result).log_density()).sum(axis=2)
    peaks = ((marginal[:, 1:-1] > marginal[:, :-2]) & (marginal[:, 1:-1] >= marginal[:, 2:])).sum(axis=1)
    assert (peaks >= 2).any()


def hostile() -> tuple[Star, list[str]]:
    """Stars that arrive from bad tables; the status that each must have, or '' where any honest number will do."""
    stars, _, _ = drawn(8, 30)
    fields = dict(vars(jax.tree.map(np.array, stars)))
    expected = [""] * 8
    fields["magnitude_error_mag"][0, 4] = 0.0
    expected[0] = Status.NONFINITE
    fields["magnitude_error_mag"][1, 2] = -0.01
    expected[1] = Status.NONFINITE
    fields["magnitude_mag"][2, 3] = np.inf
    expected[2] = Status.NONFINITE
    fields["parallax_mas"][3] = -10.0
    fields["b_deg"][4] = 90.0
    fields["l_deg"][5], fields["b_deg"][5] = 180.0, 20.0
    fields["parallax_error_mas"][6] = np.nan
    expected[6] = Status.NONFINITE
    fields["magnitude_mag"][7, 0] = 25.0
    expected[7] = Status.OUTSIDE_LIMITS
    return Star(**fields), expected


def test_bad_stars_get_a_status_and_the_others_a_number() -> None:
    stars, expected = hostile()
    result = infer_stars(MODEL, stars, IDS[:8], fast_only())
    for i, word in enumerate(expected):
        if word:
            assert result["status"][i] == word
            assert np.isnan(result["ebv_mean"][i])
        else:
            assert np.isfinite(result["ebv_mean"][i]), i
            assert -0.05 <= result["ebv_mean"][i] <= 0.5


def test_what_the_emulator_does_not_cover_is_refused() -> None:
    stars, _, _ = drawn(2, 31)
    with pytest.raises(InputError, match="wider than what the emulator"):
        infer_stars(MODEL, stars, IDS[:2], dataclasses.replace(SETTINGS, ebv_max_mag=0.8))
    with pytest.raises(ModelError, match="no emulator"):
        infer_stars(random_model(), stars, IDS[:2], SETTINGS)
    with pytest.raises(InputError, match="engine"):
        dataclasses.replace(SETTINGS, engine="slow")


def test_the_bright_limit_moves_with_the_dust_there_may_be(mixed) -> None:
    """Section 2.9.2: G below the bright limit plus R_G E_max; E_max is a value per star, or the end of the prior."""
    stars, _ = mixed
    rows = np.flatnonzero(np.asarray(stars.observed)[:, 0])[:4]
    fields = dict(vars(jax.tree.map(lambda a: np.array(a)[rows], stars)))
    fields["magnitude_mag"][:, 0] = MODEL.g_bright_mag + np.array([0.3, 0.3, 0.3, 3.0])
    part = Star(**fields)
    limit = np.array([0.02, 0.4, np.nan, 0.4])  # A_G / E(B-V) is between 1.8 and 2.7: 0.05, 0.9, 1.1, 0.9 mag
    result = infer_stars(MODEL, part, IDS[:4], fast_only(), ebv_limit_mag=limit)
    entered = (result["flags"] & int(Flag.ENTERED_BY_EXTINCTION)) != 0
    assert entered.tolist() == [False, True, True, False]
    with pytest.raises(InputError, match="ebv_limit"):
        InferenceSettings(ebv_limit_mag=-0.1)


def test_groups_of_padding_alone_are_not_worked_out() -> None:
    """The first six of twelve stars, four at a time: the group that holds two of them is whole, the last is empty."""
    values = jnp.arange(1.0, 13.0)
    found = np.asarray(
        jax.jit(lambda n: map_stars(lambda v: 2.0 * v, values, at_once=4, n_wanted=n))(jnp.asarray(6))
    )
    np.testing.assert_array_equal(found[:8], 2.0 * np.asarray(values)[:8])
    if jax.default_backend() == "cpu":
        np.testing.assert_array_equal(found[8:], 0.0)
    np.testing.assert_array_equal(map_stars(lambda v: 2.0 * v, values, at_once=5), 2.0 * values)
