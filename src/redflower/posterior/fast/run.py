"""The fast engine on any number of stars: each step stores the stars that it settles and passes the rest on."""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from redflower.flow.emulator import Noise
from redflower.posterior.batches import batches, take
from redflower.posterior.columns import quantile_columns
from redflower.posterior.density import density_of_grid
from redflower.posterior.fast.check import WeightedDraws
from redflower.posterior.fast.grid import FastTarget, Grid
from redflower.posterior.fast.steps import (
    REFINED_AT_ONCE,
    FastResult,
    noise_inputs,
    quadrature_batch,
    refined_batch,
    unsettled,
    zoomed_batch,
)
from redflower.posterior.fast.weights import (
    Refined,
    effective_number,
    log_node_weights,
    normalised_weights,
    pareto_k,
    weighted_summary,
)
from redflower.posterior.flags import covered_by_training, flag_bits, shares_near_ends, status_words
from redflower.posterior.outliers import OUTLIER_WITHOUT_CHAINS, Outliers
from redflower.posterior.results import Request, Results
from redflower.posterior.status import FAST, IMPORTANCE, Status
from redflower.quantiles import LEVELS
from redflower.random_streams import Stream
from redflower.star import Star

#: Stars whose rounds of step 2 are in memory together: 1 MB each at most.
REFINED_BLOCK: Final = 1024


class Unsettled(NamedTuple):
    """Stars that step 1 did not settle, and their grids on the host; no grids where there are no stars."""

    rows: Int[np.ndarray, " row"]
    grids: Grid | None


class _Typical(NamedTuple):
    """What flags and status want of each star, beside its columns; see `flag_bits` and `status_words`."""

    modulus_mag: Float[np.ndarray, " star"]
    bp_rp_mag: Float[np.ndarray, " star"]
    flow_chi2: Float[np.ndarray, " star"]
    bright_share: Float[np.ndarray, " star"]
    edge_share: Float[np.ndarray, " star"]


def quadrature(request: Request, fast: FastTarget, rows: np.ndarray, results: Results) -> Unsettled:
    """Run step 1 of the fast engine on some rows, and store those that it settles."""
    settings = request.settings.fast
    left: list[np.ndarray] = []
    grids: list[Grid] = []
    for batch, padded in batches(rows, request.settings.fast_batch_size):
        part = request.part(padded)
        noise = jax.tree.map(jnp.asarray, noise_inputs(fast.emulator, part))
        found = quadrature_batch(
            fast,
            part,
            noise,
            request.keys(padded, Stream.CHECK_OF_STARS),
            request.keys(padded, Stream.FIT_OF_STARS),
            settings.check_nodes,
            settings.check_draws_per_node,
        )
        result: FastResult = jax.tree.map(np.asarray, found)
        results.store_fit(batch, result.fit)
        bad = unsettled(result, settings)[: len(batch)]
        good = np.flatnonzero(~bad)
        values = _columns_of_grid(request, part, result, padded)
        results.store(batch[good], {name: v[good] for name, v in values.items()}, FAST)
        if request.settings.density:
            results.store_columns(batch[good], density_of_grid(result.grid, good))
        left.append(batch[bad])
        grids.append(jax.tree.map(lambda a: a[: len(bad)][bad], result.grid))  # noqa: B023
        results.done(FAST, len(batch), len(good))
    if not left:
        return Unsettled(rows, None)
    return Unsettled(np.concatenate(left), jax.tree.map(lambda *a: np.concatenate(a), *grids))


def importance(
    request: Request, fast: FastTarget, unsettled: Unsettled, results: Results, outliers: Outliers
) -> np.ndarray:
    """Run step 2 of the fast engine, store the stars that it settles, and return the rows of the others."""
    rows, grids = unsettled
    left = [rows[:0]]
    for start in range(0, len(rows), REFINED_BLOCK):
        block = slice(start, start + REFINED_BLOCK)
        part = jax.tree.map(lambda a: a[block], grids)  # noqa: B023
        left.append(_Block(request, fast, rows[block], part, results, outliers).run())
    return np.concatenate(left)


class _Block:
    """The rounds of step 2 of stars whose draws are in memory together.

    Parameters
    ----------
    rows : of the stars; every other number in here counts from the first of them.
    grids : of each, from step 1.
    outliers : what tells which of them are not of the population.
    """

    def __init__(
        self,
        request: Request,
        fast: FastTarget,
        rows: np.ndarray,
        grids: Grid,
        results: Results,
        outliers: Outliers,
    ) -> None:
        self.request, self.fast, self.rows, self.grids, self.results = request, fast, rows, grids, results
        self.outliers = outliers
        self.settings = request.settings.fast
        self.size = REFINED_AT_ONCE * max(1, request.settings.fast_batch_size // (8 * REFINED_AT_ONCE))
        self.together = Refined(len(rows), self.settings.refine_draws_per_node)

    def run(self) -> np.ndarray:
        """Draw round after round until every star is stored or passed on; return the rows of the latter."""
        pending, passed_on = np.arange(len(self.rows)), [np.zeros(0, dtype=int)]
        self._zoom(pending)
        n_rounds = self.settings.refine_rounds
        for number in range(n_rounds):
            again = []
            for batch, padded in batches(pending, self.size):
                ess = self._draw(number, batch, padded)
                # At a rate as low as this, the rounds to come would not be enough.
                hopeless = ~(ess >= self.settings.min_round_ess * (number + 1))
                given_up = hopeless | (number + 1 == n_rounds)
                ready = given_up | (ess >= self.settings.min_refine_ess)
                done, failed = self._settle(batch[ready], given_up[ready])
                passed_on.append(failed)
                again.append(batch[~np.isin(batch, done)])
            pending = np.concatenate(again) if again else pending[:0]
        return self.rows[np.concatenate(passed_on)]

    def _inputs(self, padded: np.ndarray) -> tuple[Star, Noise, Grid]:
        part = self.request.part(self.rows[padded])
        return (
            part,
            jax.tree.map(jnp.asarray, noise_inputs(self.fast.emulator, part)),
            take(self.grids, padded),
        )

    def _zoom(self, stars: np.ndarray) -> None:
        """Replace the grids by grids over the part that holds the density."""
        for batch, padded in batches(stars, self.size):
            zoomed = zoomed_batch(self.fast, *self._inputs(padded))
            for old, new in zip(self.grids, zoomed, strict=True):
                old[batch] = np.asarray(new)[: len(batch)]

    def _draw(self, number: int, batch: np.ndarray, padded: np.ndarray) -> np.ndarray:
        """Add a round of a batch, and return the effective draws of each of its stars so far."""
        part, noise, grids = self._inputs(padded)
        found = refined_batch(
            self.fast, part, noise, grids, self.request.keys(self.rows[padded], Stream.ROUNDS_OF_WEIGHTS),
            jnp.asarray(number), jnp.asarray(len(batch)), self.settings.refine_nodes, self.settings.refine_draws_per_node,
        )  # fmt: skip
        draws, log_evidence = jax.tree.map(np.asarray, found)
        for i, star in enumerate(batch):
            one = jax.tree.map(lambda a, i=i: a[i], draws)
            self.together.add(star, one, float(log_evidence[i]))
        return self.together.effective(batch)

    def _settle(self, batch: np.ndarray, given_up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Store what the rounds of some stars found; return those that are done, and those of them that are not stored."""
        if not len(batch):
            return batch, batch
        padded = np.resize(batch, self.size)
        draws = self.together.draws(batch)
        values = _columns_of_draws(self.request, draws, take(self.grids, padded), self.rows[padded])
        values["log_evidence"] = self.together.log_evidence(batch)
        good = values["ess"] >= self.settings.min_refine_ess
        good &= values["pareto_k"] < self.settings.max_pareto_k
        good &= np.isfinite(values["ebv_mean"])
        done = good | given_up
        # What is not of the population has no posterior for chains to find.
        probability = self.outliers.probability(self.rows[batch], values["log_evidence"])
        kept = (probability > OUTLIER_WITHOUT_CHAINS) | ~np.bool_(self.request.settings.hand_on)
        stored = np.flatnonzero(good | (given_up & kept))
        poor = ~good & (values["status"] == Status.OK.value)
        values["status"] = np.where(poor, Status.LOW_ESS.value, values["status"])
        rows = self.rows[batch[stored]]
        self.results.store(rows, {name: v[stored] for name, v in values.items()}, IMPORTANCE)
        self.results.store_density_of_draws(
            rows,
            draws.ebv_mag[stored],
            draws.modulus_mag[stored],
            draws.log_weight[stored],
            n_together=self.settings.refine_draws_per_node,
        )
        self.results.done(IMPORTANCE, int(done.sum()), len(stored))
        self.together.forget(batch[done])
        return batch[done], np.setdiff1d(batch[done], batch[stored])


def _columns_of_grid(
    request: Request, part: Star, result: FastResult, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns of a padded batch from its grids, on the host."""
    s = result.summary
    columns = quantile_columns(
        {
            "ebv_mean": s.ebv_mean_mag, "ebv_std": s.ebv_std_mag, "ebv_quantiles": s.ebv_quantiles_mag,
            "distance_mean": s.distance_mean_pc, "distance_std": s.distance_std_pc,
            "distance_quantiles": s.distance_quantiles_pc, "ebv_distance_corr": s.correlation,
        }
    )  # fmt: skip
    columns["log_evidence"] = np.asarray(s.log_evidence)
    columns["ess"], columns["pareto_k"] = (
        np.asarray(result.check.ess),
        pareto_k(np.asarray(result.log_weight)),
    )
    typical = _Typical(
        modulus_mag=_peak_modulus_mag(result.grid),
        bp_rp_mag=np.asarray(result.bp_rp_mag),
        flow_chi2=np.asarray(result.flow_chi2),
        bright_share=np.asarray(result.bright_share),
        edge_share=np.asarray(result.edge_share),
    )
    return _judged(request, part, columns, rows, typical)


def _columns_of_draws(
    request: Request, draws: WeightedDraws, grids: Grid, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns of a batch from its weighted draws, on the host; ``grids`` and ``rows`` are padded."""
    columns = quantile_columns(weighted_summary(draws, np.array(LEVELS)))
    by_node = log_node_weights(np.asarray(draws.log_weight), request.settings.fast.refine_draws_per_node)
    columns["ess"], columns["pareto_k"] = effective_number(by_node), pareto_k(by_node)
    bright_share, edge_share = shares_near_ends(
        request.target,
        np.asarray(draws.ebv_mag),
        np.asarray(draws.unreddened_g_mag),
        normalised_weights(draws),
    )
    axes = zip(columns["ebv_mean"], np.asarray(grids.ebv_mag), np.asarray(grids.bp_rp_mag), strict=False)
    typical = _Typical(
        modulus_mag=_peak_modulus_mag(grids),
        bp_rp_mag=np.array([np.interp(*one) for one in axes]),
        flow_chi2=np.median(draws.flow_chi2, axis=1),
        bright_share=bright_share,
        edge_share=edge_share,
    )
    return _judged(request, request.part(rows), columns, rows, typical)


def _judged(
    request: Request, part: Star, columns: dict[str, np.ndarray], rows: np.ndarray, typical: _Typical
) -> dict[str, np.ndarray]:
    """Add ``status`` and ``flags`` to the columns of a batch. Compiled functions see the padded size alone."""
    n_stars, size = len(columns["ebv_mean"]), len(rows)
    covered = covered_by_training(request.model, part, typical.modulus_mag)
    flags = flag_bits(
        request.model,
        request.target,
        part,
        ebv_mean_mag=np.resize(columns["ebv_mean"], size),
        bp_rp_mag=np.resize(typical.bp_rp_mag, size),
        flow_chi2=np.resize(typical.flow_chi2, size),
        covered=covered,
        ebv_limit_mag=request.ebv_limit_mag[rows],
    )
    columns["status"] = status_words(columns, {}, covered[:n_stars], typical.bright_share, typical.edge_share)
    columns["flags"] = flags[:n_stars]
    return columns


def _peak_modulus_mag(grids: Grid) -> np.ndarray:
    """Return the distance modulus at the peak of every grid. [mag]"""
    peak = np.argmax(np.asarray(grids.log_density).max(axis=2), axis=1)
    return np.asarray(grids.modulus_mag)[np.arange(len(peak)), peak]
