"""The one log density, its whitened form, bridge sampling, and the engine's bookkeeping."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower import prepare, simulate
from redflower.catalogue import default_distance_prior, to_stars
from redflower.errors import InputError
from redflower.flow import load_model
from redflower.flow.conditional import needed_bands
from redflower.posterior import (
    FLAG_MESSAGES,
    STATUS_MESSAGES,
    Flag,
    InferenceSettings,
    Status,
    log_posterior,
    make_target,
)
from redflower.posterior.bridge import log_evidence_by_bridge
from redflower.posterior.flags import unusable_status
from redflower.posterior.keys import star_keys
from redflower.posterior.nuts.summaries import _status, chain_failures
from redflower.posterior.whitening import log_whitened, make_whitening
from redflower.star import Star
from tests.helpers.flows import random_model


def example_star(missing: tuple[int, ...] = ()) -> Star:
    """A star near the middle of the random model's magnitudes."""
    observed = np.ones(11, dtype=bool)
    observed[list(missing)] = False
    f = jnp.float32
    magnitude = np.array([16.0, 16.4, 15.4, 16.6, 16.1, 15.9, 15.8, 15.7, 14.8, 14.4, 14.3])
    return Star(
        magnitude_mag=jnp.asarray(np.where(observed, magnitude, 0.0), f),
        magnitude_error_mag=jnp.asarray(np.where(observed, 0.02, 1.0), f),
        observed=jnp.asarray(observed),
        parallax_mas=f(1.1),
        parallax_error_mas=f(0.1),
        has_parallax=jnp.asarray(True),
        l_deg=f(104.0),
        b_deg=f(30.0),
        prior_log_length_pc=f(np.log(400.0)),
        prior_alpha=f(1.0),
        prior_beta=f(2.0),
        selection_pixel=jnp.int32(0),
    )


def target(dim: int = 11):
    return make_target(random_model(3, dim), ebv_min_mag=-0.05, ebv_max_mag=0.5)


@pytest.mark.equation("E16b")
@pytest.mark.parametrize("missing", [(), (1,), (3, 4), (8, 9, 10), (2, 9), (0,), (0, 1, 2)])
def test_whitening_has_the_jacobian_it_states(missing: tuple[int, ...]) -> None:
    theta = 0.5 * jax.random.normal(jax.random.key(0), (13,))
    stated, jacobian = stated_and_true_jacobian(target(), example_star(missing), theta)
    _, log_det = jnp.linalg.slogdet(jacobian)
    assert float(stated) == pytest.approx(float(log_det), abs=2e-3)


@eqx.filter_jit
def stated_and_true_jacobian(model, star, theta):
    whitening = make_whitening(model, star, jnp.float32(9.8), jnp.float32(0.2))

    def flat(theta):
        p = whitening(model, star, theta)[0]
        return jnp.concatenate([p.ebv_mag[None], p.distance_modulus_mag[None], p.absolute_mag])

    return whitening(model, star, theta)[1], jax.jacfwd(flat)(theta)


@pytest.mark.equation("E16")
def test_whitened_density_is_the_log_posterior_with_its_jacobian() -> None:
    star, model = example_star(), target()
    whitening = make_whitening(model, star, jnp.float32(9.8), jnp.float32(0.2))
    theta = 0.3 * jax.random.normal(jax.random.key(1), (13,))
    position, log_jacobian = whitening(model, star, theta)
    direct = log_posterior(
        model, star, position.ebv_mag, position.distance_modulus_mag, position.absolute_mag
    )
    assert float(log_whitened(model, star, whitening, theta)) == pytest.approx(
        float(direct + log_jacobian), rel=1e-6
    )
    gradient = jax.grad(lambda t: log_whitened(model, star, whitening, t))(theta)
    assert bool(jnp.all(jnp.isfinite(gradient)))


def test_bands_after_the_last_observed_one_change_nothing() -> None:
    """A star without 2MASS under 11 bands has the density it has under the 8-band marginal."""
    star = example_star((8, 9, 10))
    model = target()
    short = type(model)(model.flow.leading(8), model.law, 13.5, 20.5, -0.05, 0.5)
    m = star.magnitude_mag - 10.0
    long_value = log_posterior(model, star, jnp.float32(0.1), jnp.float32(10.0), m)
    short_value = log_posterior(short, star, jnp.float32(0.1), jnp.float32(10.0), m[:8])
    assert float(long_value) == pytest.approx(float(short_value), rel=1e-5)
    assert needed_bands(star.observed).tolist() == [True] * 8 + [False] * 3


@pytest.mark.equation("E16")
def test_a_star_without_g_is_one_whose_g_says_nothing() -> None:
    """G with an error of 10^4 mag and no limits: the same density but for that likelihood's constant."""
    no_g = example_star((0,))
    model = target()
    unlimited = dataclasses.replace(model, g_bright_mag=-np.inf, g_faint_mag=np.inf)
    vague = dataclasses.replace(
        no_g, observed=jnp.ones(11, bool), magnitude_error_mag=no_g.magnitude_error_mag.at[0].set(1e4)
    )
    for seed in range(3):
        m = example_star().magnitude_mag - 10.0 + 0.1 * jax.random.normal(jax.random.key(seed), (11,))
        at = (jnp.float32(0.1), jnp.float32(10.0), m)
        constant = -np.log(1e4 * np.sqrt(2 * np.pi))
        assert float(log_posterior(unlimited, vague, *at) - constant) == pytest.approx(
            float(log_posterior(model, no_g, *at)), rel=1e-5
        )


@pytest.mark.equation("D11")
def test_the_magnitude_limits_do_not_cut_a_star_without_g() -> None:
    """Unreddened G = 12 lies beyond the bright limit of 13.5; the sample of a star without G knows no such limit."""
    at = (jnp.float32(0.1), jnp.float32(6.0), example_star().magnitude_mag - 10.0)
    model = target()
    unlimited = dataclasses.replace(model, g_bright_mag=-np.inf, g_faint_mag=np.inf)
    with_g, without = example_star(), example_star((0,))
    assert float(log_posterior(model, with_g, *at)) < float(log_posterior(unlimited, with_g, *at)) - 100.0
    assert float(log_posterior(model, without, *at)) == float(log_posterior(unlimited, without, *at))


@pytest.mark.equation("E16b")
@pytest.mark.parametrize("missing", [(0,), (1, 2), (0, 1, 2)])
def test_the_whitening_predicts_missing_bands_of_real_loci(missing: tuple[int, ...]) -> None:
    """Stars of the mock sky, no dust: within a few units of the stated spread of where the missing bands are."""
    model = make_target(load_model("mock-sky"), ebv_min_mag=-0.05, ebv_max_mag=0.5)
    sky = simulate(60, seed=3, preset="high-latitude", clouds=[], g_faint_mag=17.0)
    table = prepare(sky, purpose="inference").table
    stars = to_stars(table, default_distance_prior()).stars
    complete = np.asarray(stars.observed).all(axis=1) & (np.asarray(table["true_ebv"]) < 1e-6)
    modulus = 5 * np.log10(np.asarray(table["true_distance"])) - 5
    units = []
    for i in np.flatnonzero(complete)[:20]:
        star = jax.tree.map(lambda a, i=i: a[i], stars)
        hidden = dataclasses.replace(star, observed=star.observed.at[jnp.array(missing)].set(False))
        e = (0.0 - model.ebv_min_mag) / (model.ebv_max_mag - model.ebv_min_mag)
        theta = jnp.zeros(13).at[0].set(float(np.log(e / (1 - e))))
        magnitude_mag, scale_mag = predicted(model, hidden, jnp.float32(modulus[i]), theta)
        units.append(np.asarray((magnitude_mag - star.magnitude_mag) / scale_mag)[list(missing)])
    # A linear relation in place of a curved locus, and noise: twice the spread for nine in ten.
    assert len(units) >= 10
    assert np.quantile(np.abs(units), 0.9) < 2.5


@eqx.filter_jit
def predicted(model, star, modulus_mag, theta):
    """Magnitudes where the whitening's noise is zero, and its scale."""
    whitening = make_whitening(model, star, modulus_mag, jnp.float32(0.1))
    at = whitening(model, star, theta)[0]
    return at.absolute_mag + at.distance_modulus_mag, whitening.scale_mag


@pytest.mark.equation("E16c")
def test_bridge_sampling_gives_the_integral_of_a_known_density() -> None:
    """A correlated normal of 5 dimensions times e^3: the error of 2000 draws is about 0.02."""
    factor = np.tril(np.random.default_rng(0).normal(size=(5, 5))) + 2 * np.eye(5)
    precision = np.linalg.inv(factor @ factor.T)
    rng = np.random.default_rng(1)

    def log_density(points: np.ndarray) -> np.ndarray:
        return 3.0 - 0.5 * np.einsum("sni,ij,snj->sn", points, precision, points)

    theta = rng.normal(size=(3, 4000, 5)) @ factor.T
    expected = 3.0 + 2.5 * np.log(2 * np.pi) + np.linalg.slogdet(factor)[1]
    value = log_evidence_by_bridge(theta, log_density(theta), rng.normal(size=(3, 2000, 5)), log_density)
    np.testing.assert_allclose(value, expected, atol=0.1)


@pytest.mark.equation("E16c")
def test_bridge_sampling_is_not_fooled_by_draws_that_resemble_their_neighbours() -> None:
    """Four chains of 200 draws that move slowly, of a normal of nine dimensions, as NUTS leaves them: 200 stars give the
    mean evidence to 0.003 nat. With a normal fitted to every other draw it was 0.10 too low."""
    rng, rho = np.random.default_rng(5), 0.7
    chains = np.empty((200, 4, 200, 9))
    chains[:, :, 0] = rng.normal(size=chains.shape[:2] + (9,))
    for k in range(1, chains.shape[2]):
        chains[:, :, k] = rho * chains[:, :, k - 1] + np.sqrt(1 - rho**2) * rng.normal(size=(200, 4, 9))
    theta = chains.reshape(200, 800, 9)

    def log_density(points: np.ndarray) -> np.ndarray:
        return -0.5 * (points**2).sum(axis=2)

    value = log_evidence_by_bridge(theta, log_density(theta), rng.normal(size=(200, 400, 9)), log_density)
    assert value.mean() == pytest.approx(4.5 * np.log(2 * np.pi), abs=0.015)


def test_keys_come_from_the_source_id_alone() -> None:
    ids = np.array([4_295_806_720, 7, -3, 9_223_372_036_854_775_000])
    keys = jax.random.key_data(star_keys(ids, 0))
    again = jax.random.key_data(star_keys(ids[::-1], 0))[::-1]
    np.testing.assert_array_equal(keys, again)
    assert len(np.unique(np.asarray(keys), axis=0)) == len(ids)
    assert not np.array_equal(keys, jax.random.key_data(star_keys(ids, 1)))


def test_stars_that_cannot_be_inferred_get_a_word() -> None:
    stars = jax.tree.map(lambda *a: np.stack([np.asarray(x) for x in a]), *[example_star() for _ in range(5)])
    observed = stars.observed.copy()
    observed[1, 0] = False
    observed[2, 2:] = False
    magnitude = stars.magnitude_mag.copy()
    magnitude[1, 0] = 0.0  # the filler of a missing magnitude is beyond no limit
    magnitude[3, 0] = 25.0
    magnitude[4, 5] = np.inf
    fields = dict(vars(stars)) | {"observed": observed, "magnitude_mag": magnitude}
    words = unusable_status(random_model(), Star(**fields)).tolist()
    assert words == ["", "", Status.NO_BANDS, Status.OUTSIDE_LIMITS, Status.NONFINITE]


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.1), (-2.0, 0.5), (0.0, 0.0)])
def test_reddening_limits_must_rise(low: float, high: float) -> None:
    with pytest.raises(InputError, match="ebv_min < ebv_max"):
        InferenceSettings(ebv_min_mag=low, ebv_max_mag=high)


def test_status_is_the_first_condition_that_holds() -> None:
    """One star per word: a posterior cut off by the bright limit must not be called ok."""
    n_stars, n_draws = 7, 200
    rng = np.random.default_rng(0)
    columns = {
        "ebv_mean": np.full(n_stars, 0.1), "distance_mean": np.full(n_stars, 900.0),
        "distance_std": np.full(n_stars, 30.0), "r_hat": np.full(n_stars, 1.0), "ess": np.full(n_stars, 300.0),
        "divergences": np.zeros(n_stars, dtype=int),
    }  # fmt: skip
    ebv = 0.1 + 0.01 * rng.normal(size=(n_stars, n_draws))
    g_mag = np.full((n_stars, n_draws), 16.0)
    covered = np.ones(n_stars, dtype=bool)
    g_mag[1, :40] = 13.52
    ebv[2, :40] = -0.045
    covered[3] = False
    columns["ess"][4] = 20.0
    columns["divergences"][5] = 10
    columns["r_hat"][6] = np.nan
    failures = chain_failures(columns, n_draws)
    words = _status(target(), columns, ebv, g_mag, failures, covered).tolist()
    assert words == [
        Status.OK, Status.BRIGHT_LIMIT, Status.EDGE_OF_PRIOR, Status.OUTSIDE_COVERAGE, Status.LOW_ESS,
        Status.DIVERGENT, Status.NOT_CONVERGED,
    ]  # fmt: skip


def test_every_status_and_flag_is_explained() -> None:
    assert set(STATUS_MESSAGES) == set(Status)
    assert set(FLAG_MESSAGES) == set(Flag)
