"""Stars drawn from a model itself, so that its posteriors must be calibrated on them exactly."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr
from scipy.stats import gengamma

from redflower.bands import BP, N_BANDS, RP, STANDARD
from redflower.flow import Model
from redflower.flow.flow_draws import draw_given_first
from redflower.physics import colour_to_absolute, distance_modulus, extinction_mag, flow_condition
from redflower.star import Star
from redflower.train.distil_stars import draw_errors

#: Distance prior of the drawn stars: ln of the length in pc, alpha, beta. A thick disc's at high latitude.
PRIOR = (np.log(500.0), 1.1, 1.5)
#: Largest errors of the drawn stars, a share of the emulator's whole range.
PARALLAX_ERROR_RANGE_MAS = (0.03, 0.5)


def draw_model_stars(
    model: Model,
    n: int,
    seed: int,
    *,
    n_observed: int,
    with_parallax: bool = True,
    ebv_limits_mag: tuple[float, float] = (-0.05, 0.5),
    l_deg: float = 104.0,
    b_deg: float = 40.0,
) -> tuple[Star, np.ndarray, np.ndarray]:
    """Stars from prior and model: the batch, true E(B-V) [mag] and true distance [pc].

    The magnitude limits hold for the star without dust (E9, E16), so that distances follow prior times the share of
    stars within them.
    """
    rng = np.random.default_rng(seed)
    log_length, alpha, beta = PRIOR
    first = model.flow.prepared().leading(1)
    share = jax.jit(
        jax.vmap(lambda m, c: first.forward(m[None].astype(jnp.float32), c)[0][0], in_axes=(0, 0))
    )
    conditions = jax.jit(jax.vmap(lambda d: flow_condition(d, jnp.float32(l_deg), jnp.float32(b_deg))))
    distances: list[np.ndarray] = []
    while sum(map(len, distances)) < n:
        d = gengamma.rvs((beta + 1.0) / alpha, alpha, scale=np.exp(log_length), size=20 * n, random_state=rng)
        modulus = 5.0 * np.log10(d / 10.0)
        at = conditions(jnp.asarray(d, jnp.float32))
        low, high = (
            np.asarray(share(jnp.asarray(limit - modulus, jnp.float32), at))
            for limit in (model.g_bright_mag, model.g_faint_mag)
        )
        inside = np.asarray(model.coverage.contains(at))
        distances.append(d[inside & (rng.random(len(d)) < ndtr(high) - ndtr(low))])
    distance_pc = np.concatenate(distances)[:n]
    modulus_mag = np.asarray(distance_modulus(jnp.asarray(distance_pc, jnp.float32)), dtype=np.float64)
    condition = np.asarray(conditions(jnp.asarray(distance_pc, jnp.float32)))
    x = draw_given_first(
        model.flow,
        condition,
        model.g_bright_mag - modulus_mag,
        model.g_faint_mag - modulus_mag,
        np.zeros(n, dtype=bool),
        rng,
    )
    ebv_mag = rng.uniform(*ebv_limits_mag, n)
    absolute = np.asarray(jax.vmap(colour_to_absolute)(jnp.asarray(x)), dtype=np.float64)
    extinction = jax.jit(jax.vmap(lambda e, c: extinction_mag(model.law, e, c)))
    dust = np.asarray(
        extinction(
            jnp.asarray(ebv_mag, jnp.float32), jnp.asarray(absolute[:, BP] - absolute[:, RP], jnp.float32)
        )
    )
    error = draw_errors(n, STANDARD, rng)
    observed = np.broadcast_to(np.arange(N_BANDS) < n_observed, (n, N_BANDS))
    magnitude = absolute + dust + modulus_mag[:, None] + error * rng.standard_normal(error.shape)
    parallax_error = np.exp(rng.uniform(*np.log(PARALLAX_ERROR_RANGE_MAS), n))
    parallax = 1000.0 / distance_pc + parallax_error * rng.standard_normal(n)

    def f(values: np.ndarray) -> np.ndarray:
        return np.asarray(values, dtype=np.float32)

    stars = Star(
        magnitude_mag=f(np.where(observed, magnitude, 0.0)),
        magnitude_error_mag=f(np.where(observed, error, 1.0)),
        observed=observed.copy(),
        parallax_mas=f(parallax if with_parallax else np.zeros(n)),
        parallax_error_mas=f(parallax_error if with_parallax else np.ones(n)),
        has_parallax=np.full(n, with_parallax),
        l_deg=f(np.full(n, l_deg)),
        b_deg=f(np.full(n, b_deg)),
        prior_log_length_pc=f(np.full(n, log_length)),
        prior_alpha=f(np.full(n, alpha)),
        prior_beta=f(np.full(n, beta)),
        selection_pixel=np.zeros(n, dtype=np.int32),
    )
    return stars, ebv_mag, distance_pc
