"""The reference engine against quadrature: moments, correlation and evidence of a star with tiny magnitude errors.

With errors far below the width of the flow, the magnitudes are fixed by E and distance, and the posterior is a
two-dimensional integral that a grid does in float64.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import redflower
from redflower.bands import BP, RP, G
from redflower.flow import load_model
from redflower.physics import (
    absolute_to_colour,
    colour_to_absolute,
    distance_pc_of_modulus,
    extinction_mag,
    flow_condition,
    intrinsic_bp_rp,
    log_distance_prior,
    log_parallax_likelihood,
)
from redflower.posterior import Flag, InferenceSettings, NutsSettings, Status, infer_stars
from redflower.posterior.nuts import run
from redflower.posterior.nuts.sampler import FIRST_TRY_PILOTS
from redflower.star import Star

ERROR_MAG = 1e-3
LIMITS_MAG = (-0.05, 0.5)
#: The shipped model's exact marginal of Gaia's three bands; the limits in G are moved out of the way.
MODEL = dataclasses.replace(load_model("mock-sky"), g_bright_mag=5.0, g_faint_mag=30.0)
FLOW = MODEL.flow.prepared().leading(3)


def make_star(
    ebv_mag: float, parallax_mas: float, parallax_error_mas: float, bands: tuple[int, ...] = (G, BP, RP)
) -> Star:
    """A star brighter than most, on the middle of the colour locus, at 1 kpc behind dust."""
    absolute = np.zeros(11, dtype=np.float32)
    condition = flow_condition(1000.0, 104.0, 40.0)
    flow = MODEL.flow.prepared().leading(max(bands) + 1)
    u = jnp.zeros(flow.n_bands).at[G].set(-1.0)
    absolute[: flow.n_bands] = colour_to_absolute(flow.inverse(u, condition))
    added = extinction_mag(MODEL.law, jnp.float32(ebv_mag), jnp.float32(absolute[BP] - absolute[RP]))
    f = np.float32
    observed = np.isin(np.arange(11), bands)
    return Star(
        magnitude_mag=np.where(observed, absolute + np.asarray(added) + 10.0, 0.0).astype(f),
        magnitude_error_mag=np.where(observed, ERROR_MAG, 1.0).astype(f),
        observed=observed,
        parallax_mas=f(parallax_mas),
        parallax_error_mas=f(parallax_error_mas),
        has_parallax=np.bool_(parallax_error_mas > 0),
        l_deg=f(104.0),
        b_deg=f(40.0),
        prior_log_length_pc=f(np.log(400.0)),
        prior_alpha=f(1.0),
        prior_beta=f(2.0),
        selection_pixel=np.int32(0),
    )


def by_quadrature(star: Star) -> dict[str, float]:
    """Moments of E and distance, and ln evidence, on a grid."""
    flow, law = FLOW, MODEL.law
    ebv = np.linspace(*LIMITS_MAG, 301)
    modulus = np.linspace(7.0, 13.5, 801)

    def log_density(e, mu):
        m = jnp.asarray(star.magnitude_mag)
        colour = intrinsic_bp_rp(law, m[BP] - m[RP], e)
        absolute = (m - mu - extinction_mag(law, e, colour))[:3]
        # d(observed colour) / d(intrinsic colour): the magnitudes' likelihood is narrow in the reddened ones.
        slope = jax.grad(lambda c: c + (lambda a: a[BP] - a[RP])(extinction_mag(law, e, c)))(colour)
        d = distance_pc_of_modulus(mu)
        value = flow.log_prob(absolute_to_colour(absolute), flow_condition(d, star.l_deg, star.b_deg))
        value += log_distance_prior(d, star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
        value += jnp.log(d * jnp.log(10.0) / 5.0) - jnp.log(slope)
        parallax = log_parallax_likelihood(star.parallax_mas, star.parallax_error_mas, d)
        return value + jnp.where(star.has_parallax, parallax, 0.0)

    grid = jax.jit(jax.vmap(jax.vmap(log_density, (None, 0)), (0, None)))
    values = np.asarray(grid(jnp.asarray(ebv, jnp.float32), jnp.asarray(modulus, jnp.float32)), dtype=float)
    weight = np.exp(values - values.max())
    cell = (ebv[1] - ebv[0]) * (modulus[1] - modulus[0])
    log_evidence = np.log(weight.sum() * cell) + values.max() - np.log(LIMITS_MAG[1] - LIMITS_MAG[0])
    weight /= weight.sum()
    e, d = ebv[:, None], 10.0 ** (1.0 + modulus / 5.0)[None, :]
    mean_e, mean_d = (weight * e).sum(), (weight * d).sum()
    std_e, std_d = (np.sqrt((weight * (v - m) ** 2).sum()) for v, m in ((e, mean_e), (d, mean_d)))
    corr = (weight * (e - mean_e) * (d - mean_d)).sum() / (std_e * std_d)
    return {
        "ebv_mean": mean_e, "ebv_std": std_e, "distance_mean": mean_d, "distance_std": std_d,
        "ebv_distance_corr": corr, "log_evidence": log_evidence,
    }  # fmt: skip


@pytest.mark.equation("E16")
@pytest.mark.equation("E16c")
def test_nuts_agrees_with_quadrature() -> None:
    """Three stars, with a good, a poor and no parallax."""
    cases = [make_star(0.15, 1.0, 0.05), make_star(0.2, 1.0, 0.4), make_star(0.1, 0.0, -1.0)]
    cases[2] = dataclasses.replace(cases[2], parallax_error_mas=np.float32(1.0))
    stars = jax.tree.map(lambda *a: np.stack(a), *cases)
    settings = InferenceSettings(
        ebv_min_mag=LIMITS_MAG[0],
        ebv_max_mag=LIMITS_MAG[1],
        engine="nuts",
        nuts=NutsSettings(n_chains=4, n_warmup=200, n_draws=500),
        batch_size=3,
    )
    result = infer_stars(MODEL, stars, np.array([11, 12, 13]), settings)
    for i, star in enumerate(cases):
        expected = by_quadrature(star)
        assert result["ess"][i] > 400
        assert result["r_hat"][i] < 1.05
        assert result["divergences"][i] == 0
        for name in ("ebv", "distance"):
            mean, std = expected[f"{name}_mean"], expected[f"{name}_std"]
            # Five standard errors of a mean, ten of a standard deviation: distances have a heavy tail.
            tolerance = 5.0 / np.sqrt(result["ess"][i])
            assert result[f"{name}_mean"][i] == pytest.approx(mean, abs=tolerance * std), (i, name)
            assert result[f"{name}_std"][i] == pytest.approx(std, rel=2.0 * tolerance), (i, name)
        assert result["ebv_distance_corr"][i] == pytest.approx(expected["ebv_distance_corr"], abs=0.15)
        assert result["log_evidence"][i] == pytest.approx(expected["log_evidence"], abs=0.1)


def by_quadrature_without_g(star: Star) -> dict[str, float]:
    """Moments of E and distance of a star with BP, RP and g, its G integrated on a grid of its own."""
    flow, law = MODEL.flow.prepared().leading(4), MODEL.law
    ebv, modulus = np.linspace(*LIMITS_MAG, 111), np.linspace(9.3, 10.7, 71)
    bp_less_g = np.linspace(0.8, 2.2, 141)

    def log_density(e, mu):
        m = jnp.asarray(star.magnitude_mag)
        colour = intrinsic_bp_rp(law, m[BP] - m[RP], e)
        seen = m[:4] - mu - extinction_mag(law, e, colour)[:4]
        slope = jax.grad(lambda c: c + (lambda a: a[BP] - a[RP])(extinction_mag(law, e, c)))(colour)
        d = distance_pc_of_modulus(mu)
        at = flow_condition(d, star.l_deg, star.b_deg)
        of_g = jax.vmap(lambda g: flow.log_prob(absolute_to_colour(seen.at[G].set(g)), at))
        value = jax.scipy.special.logsumexp(of_g(seen[BP] - jnp.asarray(bp_less_g, jnp.float32)))
        value += log_distance_prior(d, star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
        value += jnp.log(d) - jnp.log(slope)
        return value + log_parallax_likelihood(star.parallax_mas, star.parallax_error_mas, d)

    grid = jax.jit(lambda e: jax.vmap(lambda mu: log_density(e, mu))(jnp.asarray(modulus, jnp.float32)))
    values = np.stack([np.asarray(grid(jnp.float32(e)), dtype=float) for e in ebv])
    weight = np.exp(values - values.max())
    step = (ebv[1] - ebv[0]) * (modulus[1] - modulus[0]) * (bp_less_g[1] - bp_less_g[0])
    log_evidence = np.log(weight.sum() * step) + values.max() + np.log(np.log(10.0) / 5.0)
    log_evidence -= np.log(LIMITS_MAG[1] - LIMITS_MAG[0])
    weight /= weight.sum()
    out = {"log_evidence": log_evidence}
    for name, v in (("ebv", ebv[:, None]), ("distance", 10.0 ** (1.0 + modulus / 5.0)[None, :])):
        out[f"{name}_mean"] = mean = (weight * v).sum()
        out[f"{name}_std"] = np.sqrt((weight * (v - mean) ** 2).sum())
    return out


@pytest.mark.equation("E16")
@pytest.mark.equation("E16b")
@pytest.mark.slow
def test_a_star_without_g_agrees_with_quadrature_over_g() -> None:
    """BP, RP and g alone: the latent G is integrated, by chains and by a sum; the fast engine hands such a star on."""
    star = make_star(0.15, 1.0, 0.05, bands=(BP, RP, 3))
    stars = jax.tree.map(lambda a: np.stack([a]), star)
    # The shipped model with its limits: unreddened, the star is fainter in G than they allow.
    settings = InferenceSettings(
        ebv_min_mag=LIMITS_MAG[0],
        ebv_max_mag=LIMITS_MAG[1],
        engine="fast",
        nuts=NutsSettings(n_chains=4, n_warmup=200, n_draws=400),
        batch_size=1,
    )
    result = infer_stars(load_model("mock-sky"), stars, np.array([21]), settings)
    assert result["engine"].tolist() == ["nuts"]
    assert result["bands"].tolist() == ["BP RP g"]
    assert result["status"].tolist() == ["ok"]
    # So red a star is also beyond the range of some coefficients.
    flags = Flag.MISSING_BAND | Flag.BEYOND_LIMITS | Flag.COEFFICIENT_OUT_OF_RANGE
    assert result["flags"].tolist() == [int(flags)]
    assert result["ess"][0] > 200
    expected = by_quadrature_without_g(star)
    tolerance = 5.0 / np.sqrt(result["ess"][0])
    for name in ("ebv", "distance"):
        mean, std = expected[f"{name}_mean"], expected[f"{name}_std"]
        assert result[f"{name}_mean"][0] == pytest.approx(mean, abs=tolerance * std), name
        assert result[f"{name}_std"][0] == pytest.approx(std, rel=2.0 * tolerance), name
    assert result["log_evidence"][0] == pytest.approx(expected["log_evidence"], abs=0.1)


@pytest.mark.slow
def test_order_and_padding_do_not_matter() -> None:
    """The same stars in another order and another batch size, to what rounding leaves of equal random numbers."""
    cases = [make_star(e, 1.0, 0.1) for e in (0.05, 0.15, 0.25)]
    stars = jax.tree.map(lambda *a: np.stack(a), *cases)
    ids = np.array([101, 102, 103])
    nuts = NutsSettings(n_chains=2, n_warmup=60, n_draws=60)
    one = infer_stars(MODEL, stars, ids, InferenceSettings(engine="nuts", nuts=nuts, batch_size=3))
    back = jax.tree.map(lambda a: a[::-1], stars)
    two = infer_stars(MODEL, back, ids[::-1], InferenceSettings(engine="nuts", nuts=nuts, batch_size=2))
    shift = np.abs(one["ebv_mean"] - two["ebv_mean"][::-1]) / one["ebv_std"]
    # Not bit for bit: chains amplify the rounding of another batch size. Within the error of the mean they agree.
    assert (shift < 5.0 * np.sqrt(2.0 / np.minimum(one["ess"], two["ess"][::-1]))).all()
    again = infer_stars(MODEL, stars, ids, InferenceSettings(engine="nuts", nuts=nuts, batch_size=3))
    np.testing.assert_array_equal(one["ebv_mean"], again["ebv_mean"])
    assert set(one["status"]) <= {s.value for s in Status}


@pytest.mark.slow
def test_chains_that_fail_are_tried_once_more_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short chains, of which some fail. A second try with one pilot is the first again: what no second try would give."""
    sky = redflower.simulate(24, seed=3, preset="one-cloud", g_faint_mag=19.0)
    stars = redflower.prepare(sky, purpose="inference").table
    nuts = NutsSettings(n_warmup=30, n_draws=45)
    settings = InferenceSettings(engine="nuts", nuts=nuts, batch_size=len(stars))
    done: list[int] = []
    tried_twice = redflower.infer(stars, "mock-sky", settings=settings, progress=done.append)
    monkeypatch.setattr(run, "SECOND_TRY_PILOTS", FIRST_TRY_PILOTS)
    once = redflower.infer(stars, "mock-sky", settings=settings)
    failures = ["low_ess", "not_converged", "divergent"]
    failed = np.isin(once["status"], failures)
    assert 3 <= failed.sum() < len(stars)
    same = np.asarray(once["ebv_mean"] == tried_twice["ebv_mean"])
    np.testing.assert_array_equal(same, ~failed)
    assert np.isin(tried_twice["status"], failures).sum() < failed.sum()
    assert done == sorted(done)
    assert done[-1] == len(stars)
