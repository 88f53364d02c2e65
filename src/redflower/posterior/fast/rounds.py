"""Step 2 of the fast engine: rounds of many weighted draws, for all stars of a block side by side, until they suffice."""

from typing import Any, Final

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from redflower.posterior.batches import batches, counted, take
from redflower.posterior.fast.check import WeightedDraws
from redflower.posterior.fast.grid import FastTarget, Grid
from redflower.posterior.fast.rows import columns_of_draws
from redflower.posterior.fast.run import Unsettled, rounds_size, star_inputs
from redflower.posterior.fast.steps import refined_batch
from redflower.posterior.fast.weights import effective_number, log_node_weights, pareto_k
from redflower.posterior.outliers import OUTLIER_WITHOUT_CHAINS, Outliers
from redflower.posterior.results import Request, Results
from redflower.posterior.status import IMPORTANCE, Status
from redflower.random_streams import Stream

#: Stars whose rounds are in memory together: 1 MB each at most.
REFINED_BLOCK: Final = 512
#: Numbers of rounds after which it is asked who has enough; and after the last.
ASKED_AFTER: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
#: A star that is not of the population with this probability, after two rounds or more, gets no further ones.
OUTLIER_WITHOUT_ROUNDS: Final = 0.999


def importance(
    request: Request, fast: FastTarget, unsettled: Unsettled, results: Results, outliers: Outliers
) -> Int[np.ndarray, " row"]:
    """Run step 2 of the fast engine, store the stars that it settles, and return the rows of the others."""
    rows, grids, _ = unsettled
    left = [rows[:0]]
    for start in range(0, len(rows), REFINED_BLOCK):
        block = slice(start, start + REFINED_BLOCK)
        part = jax.tree.map(lambda a: a[block], grids)  # noqa: B023
        left.append(_Block(request, fast, rows[block], part, results, outliers).run())
    return np.concatenate(left)


class _Block:
    """The rounds of stars whose draws are in memory together.

    All of them that go on have had equally many rounds, so that their draws are arrays with a row per star.

    Parameters
    ----------
    rows : of the stars that go on.
    grids : of each, from step 1: what is drawn from.
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
        self.size = rounds_size(request.settings.fast_batch_size)
        self.draws: WeightedDraws | None = None
        #: ln of the mean evidence of the rounds so far.
        self.log_evidence = np.full(len(rows), -np.inf)

    def run(self) -> Int[np.ndarray, " row"]:
        """Draw round after round until every star is stored or passed on; return the rows of the latter."""
        passed_on = [self.rows[:0]]
        last = self.settings.refine_rounds
        rounds: list[Any] = []
        for number in range(1, last + 1):
            if not len(self.rows):
                break
            rounds.append(self._round(number - 1))
            if number not in (*ASKED_AFTER, last):
                continue
            self._add(rounds, number)
            rounds = []
            good, ess = self._suffice()
            # At a rate as low as this, the rounds to come would not be enough.
            given_up = ~(ess >= self.settings.min_round_ess * number) | (number == last)
            if number > 1:
                given_up |= self._outlier_probability() > OUTLIER_WITHOUT_ROUNDS
            passed_on.append(self._settle(np.flatnonzero(good | given_up), good))
            self._keep(np.flatnonzero(~(good | given_up)))
        return np.concatenate(passed_on)

    def _round(self, number: int) -> tuple[WeightedDraws, Float[np.ndarray, " star"]]:
        """Draw a round of all stars that go on; return it and ln of each evidence."""
        rounds: list[Any] = []
        for batch, padded in batches(np.arange(len(self.rows)), self.size):
            rows = self.rows[padded]
            part, noise = star_inputs(self.request, self.fast, rows)
            found = refined_batch(
                self.fast, part, noise, take(self.grids, padded), self.request.keys(rows, Stream.ROUNDS_OF_WEIGHTS),
                counted(number), counted(len(batch)), self.settings.refine_nodes, self.settings.refine_draws_per_node,
            )  # fmt: skip
            rounds.append(jax.tree.map(lambda a: np.asarray(a)[: len(batch)], found))  # noqa: B023
        together: Any = jax.tree.map(lambda *a: np.concatenate(a), *rounds)
        return together[0], together[1]

    def _add(self, rounds: list[tuple[WeightedDraws, np.ndarray]], number: int) -> None:
        """Add rounds to those before them; there are ``number`` then."""
        before = [] if self.draws is None else [self.draws]
        draws = [*before, *(draws for draws, _ in rounds)]
        self.draws = jax.tree.map(lambda *a: np.concatenate(a, axis=1), *draws)
        summed = np.logaddexp.reduce(np.stack([log_evidence for _, log_evidence in rounds]), axis=0)
        with np.errstate(divide="ignore"):
            earlier = self.log_evidence + np.log(float(number - len(rounds)))
        self.log_evidence = np.asarray(np.logaddexp(earlier, summed) - np.log(number))

    def _outlier_probability(self) -> Float[np.ndarray, " star"]:
        """Return the probability of each star, by its evidence so far, that it is not of the population."""
        return np.asarray(self.outliers.probability(self.rows, self.log_evidence))

    def _keep(self, stars: Int[np.ndarray, " star"]) -> None:
        """Let some of the stars go on."""
        self.rows, self.log_evidence = self.rows[stars], self.log_evidence[stars]
        self.grids, self.draws = jax.tree.map(lambda a: a[stars], (self.grids, self.draws))

    def _suffice(self) -> tuple[Bool[np.ndarray, " star"], Float[np.ndarray, " star"]]:
        """Tell which stars have enough draws, and their effective number of places."""
        assert self.draws is not None
        by_node = log_node_weights(np.asarray(self.draws.log_weight), self.settings.refine_draws_per_node)
        ess = effective_number(by_node)
        good = ess >= self.settings.min_refine_ess
        good[good] = pareto_k(by_node[good]) < self.settings.max_pareto_k
        return good, ess

    def _settle(
        self, done: Int[np.ndarray, " done"], good: Bool[np.ndarray, " star"]
    ) -> Int[np.ndarray, " row"]:
        """Store what the rounds of some stars found, and return the rows of those that are passed on instead."""
        rows, good = self.rows[done], good[done]
        if not len(done):
            return rows
        draws: WeightedDraws = jax.tree.map(lambda a: a[done], self.draws)
        grids: Grid = jax.tree.map(lambda a: a[done], self.grids)
        values = columns_of_draws(self.request, draws, grids, rows, self.size)
        values["log_evidence"] = self.log_evidence[done]
        good = good & np.isfinite(values["ebv_mean"])
        # What is not of the population has no posterior for chains to find.
        probability = self.outliers.probability(rows, values["log_evidence"])
        kept = good | (probability > OUTLIER_WITHOUT_CHAINS) | ~np.bool_(self.request.settings.hand_on)
        poor = ~good & (values["status"] == Status.OK.value)
        values["status"] = np.where(poor, Status.LOW_ESS.value, values["status"])
        stored = np.flatnonzero(kept)
        self.results.store(rows[stored], {name: v[stored] for name, v in values.items()}, IMPORTANCE)
        self.results.store_density_of_draws(
            rows[stored],
            draws.ebv_mag[stored],
            draws.modulus_mag[stored],
            draws.log_weight[stored],
            n_together=self.settings.refine_draws_per_node,
        )
        self.results.done(IMPORTANCE, len(done), len(stored))
        return rows[~kept]
