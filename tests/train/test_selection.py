"""A population that is known in closed form, behind a magnitude limit: what the normaliser is for."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from redflower.flow.bnaf import DenseWeights
from redflower.flow.conditional import PreparedFlow
from redflower.flow.standardise import Standardisation
from redflower.physics import distance_prior_quantile
from redflower.star import Star
from redflower.train.dataset import tabulate
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence

MEAN_MAG, SPREAD_MAG, ERROR_MAG = 5.0, 1.5, 0.1
BRIGHT_MAG, FAINT_MAG = -5.0, 14.5
LENGTH_PC, ALPHA, BETA = 300.0, 1.0, 2.0
PARALLAX_ERROR_MAS = 0.02


def linear_flow(mean_mag, log_spread) -> PreparedFlow:
    """M ~ N(mean, spread^2) at every (R, Z): the one-layer member of the family."""
    inverse = jnp.exp(-log_spread).reshape(1, 1)
    weights = DenseWeights(
        matrices=(inverse,),
        diagonals=(inverse,),
        biases=(-inverse[0] * mean_mag,),
        condition=jnp.zeros((1, 2)),
    )
    unit = Standardisation(
        x_mean=jnp.zeros(1),
        x_inverse_cholesky=jnp.ones((1, 1)),
        condition_mean=jnp.zeros(2),
        condition_std=jnp.ones(2),
    )
    return PreparedFlow(weights, unit)


def population(n: int, seed: int) -> Star:
    """Stars of the population that pass the faint limit, with measured G and parallax."""
    rng = np.random.default_rng(seed)
    parameters = (np.log(LENGTH_PC), ALPHA, BETA)
    table = jax.vmap(lambda level: distance_prior_quantile(level, *parameters))(
        jnp.linspace(1e-4, 1 - 1e-4, 4001)
    )
    distance_pc = np.interp(rng.random(20 * n), np.linspace(1e-4, 1 - 1e-4, 4001), np.asarray(table))
    true_mag = rng.normal(MEAN_MAG, SPREAD_MAG, 20 * n) + 5 * np.log10(distance_pc / 10)
    keep = np.flatnonzero(true_mag < FAINT_MAG)[:n]
    observed = np.zeros((n, 11), dtype=bool)
    observed[:, 0] = True
    magnitude = np.zeros((n, 11))
    magnitude[:, 0] = true_mag[keep] + ERROR_MAG * rng.normal(size=n)
    constant = {
        "parallax_error_mas": PARALLAX_ERROR_MAS, "l_deg": 100.0, "b_deg": 50.0,
        "prior_log_length_pc": parameters[0], "prior_alpha": ALPHA, "prior_beta": BETA,
    }  # fmt: skip
    return Star(
        magnitude_mag=magnitude.astype(np.float32),
        magnitude_error_mag=np.where(observed, ERROR_MAG, 1.0).astype(np.float32),
        observed=observed,
        parallax_mas=(1000 / distance_pc[keep] + PARALLAX_ERROR_MAS * rng.normal(size=n)).astype(np.float32),
        has_parallax=np.ones(n, dtype=bool),
        selection_pixel=np.zeros(n, dtype=np.int32),
        **{name: np.full(n, value, np.float32) for name, value in constant.items()},
    )


def distance_density(d: np.ndarray) -> np.ndarray:
    return d**BETA * np.exp(-d / LENGTH_PC) / (2.0 * LENGTH_PC**3)


@pytest.mark.equation("E23")
@pytest.mark.equation("E24")
def test_evidence_is_the_closed_form_of_a_linear_gaussian_population() -> None:
    """Over distance by scipy's quadrature, over magnitude by hand; 4,000 draws scatter by under 0.02 nat."""
    stars = population(40, seed=2)
    data = tabulate(stars)
    flow = linear_flow(jnp.float32(MEAN_MAG), jnp.log(jnp.float32(SPREAD_MAG)))
    keys = jax.random.split(jax.random.key(0), 40)
    estimate = jax.jit(
        jax.vmap(
            lambda d, k: log_evidence(
                flow,
                d,
                k,
                Estimator(proposal="posterior", g_bright_mag=BRIGHT_MAG, g_faint_mag=FAINT_MAG),
                n_draws=4000,
            )
        )
    )
    value = estimate(data, keys)
    d = np.linspace(1.0, 6000.0, 60_001)
    mu = 5 * np.log10(d / 10)
    total = np.hypot(SPREAD_MAG, ERROR_MAG)
    shrunk = SPREAD_MAG * ERROR_MAG / total
    share = integrate.simpson(distance_density(d) * stats.norm.cdf(FAINT_MAG, MEAN_MAG + mu, SPREAD_MAG), x=d)
    expected = []
    for m, plx in zip(stars.magnitude_mag[:, 0].astype(float), stars.parallax_mas.astype(float), strict=True):
        # N(m | M + mu, error) N(M | mean, spread), of which the part with M + mu below the limit.
        middle = (m * SPREAD_MAG**2 + (MEAN_MAG + mu) * ERROR_MAG**2) / total**2
        photometry = stats.norm.pdf(m, MEAN_MAG + mu, total) * stats.norm.cdf(FAINT_MAG, middle, shrunk)
        parallax = stats.norm.pdf(plx, 1000 / d, PARALLAX_ERROR_MAS)
        expected.append(np.log(integrate.simpson(photometry * parallax * distance_density(d), x=d) / share))
    difference = np.asarray(value) - np.array(expected)
    # One star beyond the limit by several errors has few draws inside; the rest agree closely.
    assert np.median(np.abs(difference)) < 0.01
    assert np.abs(difference).max() < 0.15


@pytest.mark.equation("E24")
@pytest.mark.parametrize(
    ("normaliser", "recovers"), [("exact", True), ("none", False), ("same_draws", False)]
)
def test_the_exact_normaliser_recovers_the_population_behind_the_limit(
    normaliser: str, recovers: bool
) -> None:
    """4,000 stars fix the mean to about 0.04 mag (the limit costs information); without the normaliser it is that of
    the stars seen, which are brighter, and with the paper's draws nearly nothing is left to fit."""
    data = tabulate(population(4000, seed=3))

    def loss(parameters, key):
        flow = linear_flow(*parameters)
        keys = jax.random.split(key, 4000)
        values = jax.vmap(
            lambda d, k: log_evidence(
                flow, d, k,
                Estimator(proposal="posterior", normaliser=normaliser, g_bright_mag=BRIGHT_MAG, g_faint_mag=FAINT_MAG), n_draws=8,
            )
        )(data, keys)  # fmt: skip
        return -jnp.mean(values)

    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, 150, 0.02))
    parameters = (jnp.float32(4.0), jnp.float32(0.0))

    @jax.jit
    def step(parameters, state, key):
        gradient = jax.grad(loss)(parameters, key)
        updates, state = optimiser.update(gradient, state)
        return optax.apply_updates(parameters, updates), state

    state = optimiser.init(parameters)
    for i in range(150):
        parameters, state = step(parameters, state, jax.random.fold_in(jax.random.key(5), i))
    mean_mag, spread_mag = float(parameters[0]), float(jnp.exp(parameters[1]))
    close = abs(mean_mag - MEAN_MAG) < 0.15 and abs(spread_mag - SPREAD_MAG) < 0.08
    assert close is recovers, (mean_mag, spread_mag)
    if normaliser == "none":
        # The stars seen are brighter: by 0.4 mag here (a brute-force draw of the population gives the same).
        assert mean_mag < MEAN_MAG - 0.3


@pytest.mark.equation("EA6")
@pytest.mark.slow
def test_the_papers_normaliser_is_right_on_average_and_useless_star_by_star() -> None:
    """With errors as wide as the population the mean of A6 is E24; with real errors it misses nearly all of it."""
    flow = linear_flow(jnp.float32(MEAN_MAG), jnp.log(jnp.float32(SPREAD_MAG)))
    limits = {"g_bright_mag": BRIGHT_MAG, "g_faint_mag": FAINT_MAG}
    star = jax.tree.map(lambda a: np.asarray(a)[0], population(1, seed=4))

    def estimates(error_mag: float, parallax_error_mas: float) -> tuple[np.ndarray, float]:
        fields = dict(vars(star))
        fields["magnitude_mag"] = np.where(star.observed, 14.0, 0.0).astype(np.float32)
        fields["magnitude_error_mag"] = np.where(star.observed, error_mag, 1.0).astype(np.float32)
        fields |= {"parallax_mas": np.float32(1.0), "parallax_error_mas": np.float32(parallax_error_mas)}
        one = jax.tree.map(
            lambda a: jnp.asarray(a[0]), tabulate(jax.tree.map(lambda v: np.asarray(v)[None], Star(**fields)))
        )

        def value(key, normaliser, n_draws):
            return log_evidence(
                flow,
                one,
                key,
                Estimator(proposal="posterior", normaliser=normaliser, **limits),
                n_draws=n_draws,
            )

        keys = jax.random.split(jax.random.key(1), 200)
        none, exact, same = (
            np.asarray(jax.jit(jax.vmap(lambda k, n=n: value(k, n, 256)))(keys), float)
            for n in ("none", "exact", "same_draws")
        )
        return none - same, float((none - exact)[0])

    wide, exact = estimates(4.0, 3.0)
    assert np.log(np.mean(np.exp(wide))) == pytest.approx(exact, abs=0.1)
    real, exact = estimates(0.003, 0.05)
    assert np.median(real) < exact - 3.0
