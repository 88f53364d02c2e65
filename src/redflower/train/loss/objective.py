"""The two terms of the loss for batches of stars: the marginal likelihood and the contrastive term."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer, UInt32

from redflower.flow.bnaf import BlockAutoregressiveNetwork
from redflower.flow.conditional import ConditionalFlow
from redflower.physics import ExtinctionLaw, SelectionFunction
from redflower.random_streams import Stream, stream_key
from redflower.train.config import StageConfig, TrainConfig
from redflower.train.loss.contrastive import log_contrast
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence
from redflower.train.loss.normaliser import log_selected_fraction
from redflower.train.loss.training_star import TrainingStar


@dataclass(frozen=True)
class Objective:
    """What is the same for every star of a run.

    Attributes
    ----------
    config : proposal, normaliser, contrastive term, seed.
    law : the extinction law of the reddened copies.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]
    selection : its selection function. If None, it is 1 everywhere.
    prior_limit_mag : see `redflower.train.loss.estimator.Estimator`. [mag]
    """

    config: TrainConfig
    law: ExtinctionLaw
    g_bright_mag: float
    g_faint_mag: float
    selection: SelectionFunction | None = None
    prior_limit_mag: float | None = None

    def estimator(self, *, gaps: bool, magnitudes: str | None = None) -> Estimator:
        """Return the estimator of stars with or without gaps.

        Parameters
        ----------
        magnitudes : how true magnitudes are drawn. If None, as the run's configuration says.
        """
        return Estimator(
            proposal=self.config.proposal,
            g_bright_mag=self.g_bright_mag,
            g_faint_mag=self.g_faint_mag,
            selection=self.selection,
            normaliser=self.config.normaliser,
            integrate_gaps=gaps,
            magnitudes=magnitudes or self.config.magnitudes,
            prior_limit_mag=self.prior_limit_mag,
        )

    def terms(
        self,
        flow: ConditionalFlow,
        data: TrainingStar,
        rows: Integer[Array, " star"],
        stream: Integer[Array, ""] | int,
        *,
        n_draws: int,
        gaps: bool,
        contrast: bool,
        magnitudes: str | None = None,
    ) -> tuple[Float[Array, " star"], Float[Array, " star"]]:
        """Return ln L_s and ln C_s of a batch (docs/explanation/model.md, E19 and E21); the second is zero unless asked for.

        `rows` and `stream` make the random keys: the draws of a star depend on nothing else.
        """
        config, estimator = self.config, self.estimator(gaps=gaps, magnitudes=magnitudes)
        prepared = flow.prepared()
        base = jax.random.fold_in(stream_key(config.seed, Stream.TRAINING_DRAWS), stream)

        def one(star: TrainingStar, row: Integer[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
            evidence_key, contrast_key = jax.random.split(jax.random.fold_in(base, row))
            evidence = log_evidence(prepared, star, evidence_key, estimator, n_draws)
            if not contrast:
                return evidence, jnp.zeros(())
            mean, possible = log_contrast(
                prepared, star, contrast_key, estimator, law=self.law, config=config.contrast,
                n_draws=config.contrast.n_draws or n_draws,
            )  # fmt: skip
            if config.normaliser == "exact":
                log_share = log_selected_fraction(
                    prepared, star, self.g_bright_mag, self.g_faint_mag, self.selection, self.prior_limit_mag
                )
                mean = mean - jnp.where(possible, log_share, 0.0)
            return evidence, mean

        return jax.vmap(one)(data, rows)


class Group(NamedTuple):
    """Stars of a step that are treated alike.

    Attributes
    ----------
    has_gaps : whether bands are missing in between, and are integrated over.
    data : the stars.
    rows : their rows in the sample, which make their random keys.
    weights : 1, or 0 for a star that only fills a place.
    """

    has_gaps: bool
    data: TrainingStar
    rows: UInt32[Array, " star"]
    weights: Float[Array, " star"]


def log_mixture(
    log_evidence: Float[Array, " star"], log_outlier: Float[Array, " star"], share: Float[Array, ""] | float
) -> Float[Array, " star"]:
    """Return ln of the density of each star's data, of the population or not.

    Where the share is 0 that is the population's, to the last digit. Equation: E27 (docs/explanation/model.md).

    Parameters
    ----------
    log_evidence : of the population (E23).
    log_outlier : of what is not of it (E26).
    share : of the sample that is not.
    """
    share = jnp.asarray(share)
    mixed = jnp.logaddexp(log_evidence + jnp.log1p(-share), log_outlier + jnp.log(jnp.maximum(share, 1e-30)))
    return jnp.where(share > 0.0, mixed, log_evidence)  # E27


def stage_optimiser(stage: StageConfig) -> optax.GradientTransformation:
    """Make the stage's optimiser: Adam with decoupled weight decay and clipped gradients, for a learning rate of 1."""
    return optax.chain(
        optax.clip_by_global_norm(stage.gradient_clip),
        optax.adamw(1.0, weight_decay=stage.weight_decay),
    )


def learning_rate(stage: StageConfig, progress: float) -> float:
    """Return the learning rate of a stage at a share of its steps: a half cosine down to its final fraction."""
    low = stage.final_rate_fraction
    return stage.learning_rate * (low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0))))


def make_step(
    objective: Objective, optimiser: optax.GradientTransformation, stage: StageConfig, *, contrast: bool
) -> Callable:
    """Compile one optimiser step over stars without gaps and stars with gaps.

    The step returns the new flow and optimiser, the two means, and whether all was finite; if it was not, the flow
    and the optimiser are those that it was given. The evidence of a star is that of E27, with the share of stars that are not of
    the population. The learning rate is an argument, so that a step compiled to be timed also serves the schedule that its time
    leads to.
    """

    @eqx.filter_jit
    def step(flow, opt_state, rate, strength, outlier_share, stream, groups):
        def loss(network: BlockAutoregressiveNetwork) -> tuple[Array, Array]:
            candidate = ConditionalFlow(network, flow.standardisation)
            totals, weight = jnp.zeros(2), jnp.zeros(())
            for has_gaps, data, rows, weights in groups:
                evidence, contrasts = objective.terms(
                    candidate,
                    data,
                    rows,
                    stream,
                    n_draws=stage.n_draws,
                    gaps=has_gaps,
                    contrast=contrast,
                    magnitudes=stage.magnitudes,
                )
                mixed = log_mixture(evidence, data.log_outlier, outlier_share)
                totals = totals + jnp.stack([mixed, contrasts]) @ weights
                weight = weight + jnp.sum(weights)
            means = totals / weight
            return strength * means[1] - means[0], means  # E22

        (value, means), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(flow.network)
        finite = jnp.isfinite(value) & jnp.isfinite(_norm(gradient))
        updates, new_state = optimiser.update(
            gradient, opt_state, eqx.filter(flow.network, eqx.is_inexact_array)
        )
        network = eqx.apply_updates(flow.network, jax.tree.map(lambda update: rate * update, updates))
        keep = lambda new, old: jnp.where(finite, new, old) if eqx.is_array(new) else new  # noqa: E731
        network = jax.tree.map(keep, network, flow.network)
        new_state = jax.tree.map(keep, new_state, opt_state)
        return ConditionalFlow(network, flow.standardisation), new_state, means[0], means[1], finite

    return step


def rows_of_bad_gradients(
    objective: Objective,
    flow: ConditionalFlow,
    groups: Sequence[Group],
    *,
    stream: int,
    strength: float,
    outlier_share: float,
    stage: StageConfig,
) -> np.ndarray:
    """Find the rows of a step whose loss or gradient is not finite at this flow, by the very draws of that step.

    Parameters
    ----------
    groups : of the step, as it took them.
    stream, strength, outlier_share, stage : those of the step.
    """

    def norm(
        network: BlockAutoregressiveNetwork, star: TrainingStar, row: Array, *, has_gaps: bool
    ) -> tuple[Array, Array]:
        def loss(network: BlockAutoregressiveNetwork) -> Array:
            one = jax.tree.map(lambda a: a[None], star)
            evidence, contrast = objective.terms(
                ConditionalFlow(network, flow.standardisation), one, row[None], stream,
                n_draws=stage.n_draws, gaps=has_gaps, contrast=objective.config.contrast.strength > 0.0,
                magnitudes=stage.magnitudes,
            )  # fmt: skip
            mixed = log_mixture(evidence, one.log_outlier, outlier_share)
            return strength * contrast[0] - mixed[0]  # E22

        value, gradient = eqx.filter_value_and_grad(loss)(network)
        return value, _norm(gradient)

    norm = eqx.filter_jit(norm)
    bad = []
    for has_gaps, data, rows, weights in groups:
        for i in np.flatnonzero(np.asarray(weights)):
            star = jax.tree.map(lambda a, i=i: a[i], data)
            if not np.isfinite(norm(flow.network, star, rows[i], has_gaps=has_gaps)).all():
                bad.append(int(rows[i]))
    return np.sort(np.array(bad, dtype=np.int64))


def _norm(tree: Any) -> Float[Array, ""]:
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(tree)))
