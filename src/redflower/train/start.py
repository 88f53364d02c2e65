"""What a run starts from: rows to train on and rows held out, outlier densities, a random flow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from redflower.flow.bnaf import BlockAutoregressiveNetwork
from redflower.flow.conditional import ConditionalFlow, leading_observed
from redflower.flow.grow import grown_flow
from redflower.flow.outliers import log_outlier_density
from redflower.flow.standardise import fit_standardisation
from redflower.random_streams import Stream, stream_key
from redflower.train.config import TrainConfig
from redflower.train.dataset import point_estimates
from redflower.train.loss.training_star import TrainingStar

STANDARDISE_STARS = 200_000


def split_rows(n_stars: int, config: TrainConfig) -> tuple[np.ndarray, np.ndarray]:
    """Divide the rows of a sample at random: those to train on, and those held out."""
    shuffled = np.random.default_rng(config.seed).permutation(n_stars)
    n_validation = max(1, round(config.validation_fraction * n_stars))
    return np.sort(shuffled[n_validation:]), np.sort(shuffled[:n_validation])


def with_outliers(
    data: TrainingStar,
    flow: ConditionalFlow,
    config: TrainConfig,
    *,
    n_bands: int,
    g_bright_mag: float,
    g_faint_mag: float,
) -> TrainingStar:
    """Fill in what each star would be if it were not of the population. Equation: E26 (docs/explanation/model.md)."""
    observed = np.asarray(data.star.observed)[:, :n_bands]
    used = (
        observed if config.integrate_gaps else np.asarray(jax.vmap(leading_observed)(jnp.asarray(observed)))
    )
    log_outlier = log_outlier_density(
        data.star,
        flow.standardisation,
        n_bands=n_bands,
        g_bright_mag=g_bright_mag,
        g_faint_mag=g_faint_mag,
        used=used,
    )
    return eqx.tree_at(lambda d: d.log_outlier, data, log_outlier.astype(np.float32))


def initial_flow(config: TrainConfig, n_bands: int, data: TrainingStar) -> ConditionalFlow:
    """Make a random network behind a standardisation fitted to the sample, or to `STANDARDISE_STARS` of it."""
    x, observed, condition = _some_points(config, n_bands, data)
    network = BlockAutoregressiveNetwork(
        stream_key(config.seed, Stream.FLOW_WEIGHTS),
        dim=n_bands,
        cond_dim=condition.shape[1],
        depth=config.flow.depth,
        block_dim=config.flow.block_dim,
    )
    return ConditionalFlow(network, fit_standardisation(x, observed, condition))


def first_flow(
    config: TrainConfig, n_bands: int, data: TrainingStar, start_from: ConditionalFlow | None
) -> ConditionalFlow:
    """Make the flow that a run begins with: a random one, that of another model, or that with further bands behind its own."""
    if start_from is None:
        return initial_flow(config, n_bands, data)
    if start_from.n_bands >= n_bands:
        return start_from
    fitted = fit_standardisation(*_some_points(config, n_bands, data))
    return grown_flow(start_from, fitted, stream_key(config.seed, Stream.FLOW_WEIGHTS))


def _some_points(
    config: TrainConfig, n_bands: int, data: TrainingStar
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return point estimates of x, which bands are there, and (log10 R, log10 Z), of `STANDARDISE_STARS` stars at most."""
    n_stars = len(data.star.parallax_mas)
    few = np.sort(np.random.default_rng(config.seed).permutation(n_stars)[:STANDARDISE_STARS])
    return point_estimates(jax.tree.map(lambda a: a[few], data), n_bands)
