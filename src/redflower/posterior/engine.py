"""Posteriors of any number of stars: batches of one size, a row per star whatever happens to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp
import numpy as np

from redflower.bands import G, band_labels
from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.errors import InputError
from redflower.flow.emulator import Noise
from redflower.flow.model import Model
from redflower.platforms import compute_platform
from redflower.posterior.density import density_of_draws, density_of_grid, empty_density
from redflower.posterior.fast.check import effective_number, log_node_weights
from redflower.posterior.fast.grid import FastTarget, Grid
from redflower.posterior.fast.grid_summaries import LEVELS
from redflower.posterior.fast.steps import (
    REFINED_AT_ONCE,
    FastSettings,
    Refined,
    batches,
    make_fast_target,
    noise_of,
    normalised_weights,
    quadrature_batch,
    refined_batch,
    take,
    unsettled,
    weighted_summary,
    zoomed_batch,
)
from redflower.posterior.fast.weights import pareto_k
from redflower.posterior.flags import (
    QUANTILES,
    chains_failed,
    covered_by_training,
    flag_bits,
    log_evidences,
    quantile_columns,
    shares_near_ends,
    status_words,
    summarise,
    unusable_status,
)
from redflower.posterior.keys import star_keys
from redflower.posterior.log_density import Target, make_target
from redflower.posterior.nuts.sampler import FIRST_TRY_PILOTS, SECOND_TRY_PILOTS, NutsSettings, sample_stars
from redflower.posterior.status import Flag, Status
from redflower.random_streams import Stream
from redflower.seeds import check_seed
from redflower.star import Star

Engine = Literal["fast", "nuts"]
#: Words of the column ``engine``.
FAST: Final = "fast"
IMPORTANCE: Final = "importance"
NUTS: Final = "nuts"

ENGINE_MESSAGES: Final[dict[str, str]] = {
    FAST: "quadrature by the emulator, its check against the exact density passed",
    IMPORTANCE: "importance-weighted draws of the exact density, because the check asked for more",
    NUTS: "chains of the exact density",
}

#: Stars whose rounds of step 2 are in memory together: 1 MB each at most.
REFINED_BLOCK: Final = 1024
FLOAT_COLUMNS = (
    *(f"{name}_{label}" for name in ("ebv", "distance") for label in ("mean", "std", *QUANTILES)),
    "ebv_distance_corr",
    "log_evidence",
    "ess",
    "pareto_k",
    "r_hat",
)


@dataclass(frozen=True)
class InferenceSettings:
    """What a user may choose of an inference run.

    Attributes
    ----------
    ebv_min_mag, ebv_max_mag : ends of the uniform reddening prior. [mag]
    engine : ``fast``, which hands hard stars, and those without G, on to NUTS by itself, or ``nuts`` for all.
    nuts : length of the chains.
    fast : how much the fast engine checks, and when it hands on.
    ebv_limit_mag : all the dust towards the stars, for the flag of stars that extinction may have brought into the sample;
        None for that of the dust map the table was prepared with, else the end of the prior.
    hand_on : whether stars that the fast engine cannot settle go on to NUTS; otherwise they keep what it found, with the
        status ``low_ess``, or ``no_bands`` without G, of which it can say nothing.
    density : whether to add the joint density in (E, distance modulus).
    batch_size : stars sampled side by side by NUTS; results do not depend on it beyond rounding.
    fast_batch_size : the same for the fast engine.
    seed : added to each star's own seed, which comes from its source_id.
    """

    ebv_min_mag: float = EBV_MIN_MAG
    ebv_max_mag: float = EBV_MAX_MAG
    engine: Engine = "fast"
    nuts: NutsSettings = NutsSettings()
    fast: FastSettings = FastSettings()
    ebv_limit_mag: float | None = None
    hand_on: bool = True
    density: bool = False
    # As fast per star as 16 on a CPU core, and few stars handed on are not padded to many.
    batch_size: int = field(default_factory=lambda: 4 if compute_platform() == "cpu" else 256)
    fast_batch_size: int = field(default_factory=lambda: 128 if compute_platform() == "cpu" else 4096)
    seed: int = 0

    def __post_init__(self) -> None:
        if not -0.5 <= self.ebv_min_mag < self.ebv_max_mag <= 5.0:
            raise InputError(
                "The reddening prior needs -0.5 <= ebv_min < ebv_max <= 5 mag; got "
                f"ebv_min = {self.ebv_min_mag}, ebv_max = {self.ebv_max_mag}."
            )
        if self.ebv_limit_mag is not None and not 0.0 <= self.ebv_limit_mag < np.inf:
            raise InputError(f"ebv_limit must be finite and not negative; got {self.ebv_limit_mag} mag.")
        check_seed(self.seed)
        if min(self.batch_size, self.fast_batch_size) < 1:
            raise InputError(
                f"batch sizes must be at least 1; got {self.batch_size} and {self.fast_batch_size}."
            )
        if self.engine not in ("fast", "nuts"):
            raise InputError(f"engine must be 'fast' or 'nuts'; got {self.engine!r}.")


def infer_stars(
    model: Model,
    stars: Star,
    source_id: np.ndarray,
    settings: InferenceSettings,
    *,
    ebv_limit_mag: np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Posterior summaries of a batch of stars, in its order.

    Parameters
    ----------
    model : the trained model; the fast engine needs its emulator.
    stars : the batch, host arrays with a leading ``star`` axis.
    source_id : integer per star; the seed of its random draws.
    settings : prior limits, engine, chain lengths, batch size.
    ebv_limit_mag : all the dust towards each star, for the flag ``ENTERED_BY_EXTINCTION``; the end of the reddening prior
        where it is NaN, and everywhere without it. [mag]
    progress : called with the number of stars done after every batch.

    Returns
    -------
    One array per column of the output table (DESIGN: ``ebv_*``, ``distance_*``, ...). Stars that cannot be inferred
    have NaN and a status that says why.

    Raises
    ------
    ModelError, InputError : see `redflower.posterior.fast.steps.make_fast_target`.
    """
    compute_platform()
    n_stars = len(source_id)
    target = make_target(model, ebv_min_mag=settings.ebv_min_mag, ebv_max_mag=settings.ebv_max_mag)
    fast = make_fast_target(model, target) if settings.engine == "fast" else None
    observed = np.asarray(stars.observed)[:, : target.n_bands]
    status = unusable_status(model, stars)
    columns: dict[str, np.ndarray] = {name: np.full(n_stars, np.nan) for name in FLOAT_COLUMNS}
    columns["divergences"] = np.zeros(n_stars, dtype=np.int64)
    columns["bands"] = np.array([band_labels(list(row)) for row in observed], dtype=str)
    columns["status"] = status
    columns["flags"] = np.where(observed.all(axis=1), 0, int(Flag.MISSING_BAND)).astype(np.int64)
    columns["engine"] = np.full(n_stars, "", dtype=f"<U{len(IMPORTANCE)}")
    if settings.density:
        columns |= empty_density(n_stars)
    rows = np.flatnonzero(status == "")
    limit_mag = np.full(n_stars, np.nan) if ebv_limit_mag is None else np.asarray(ebv_limit_mag, dtype=float)
    limit_mag = np.where(np.isfinite(limit_mag), limit_mag, settings.ebv_max_mag)
    run = _Run(model, target, stars, source_id, settings, columns, progress, n_stars - len(rows), limit_mag)
    if fast is not None:
        # The emulator's first band is the observed G; a star without it is for the reference engine.
        led = observed[rows, G]
        if settings.hand_on:
            run.nuts(rows[~led])
        else:
            columns["status"][rows[~led]] = Status.NO_BANDS.value
        rows = run.importance(fast, *run.quadrature(fast, rows[led]))  # none left where nothing is handed on
    run.nuts(rows)
    failed = columns["status"] == Status.NONFINITE.value
    for name in FLOAT_COLUMNS:
        columns[name][failed] = np.nan
    return columns


@dataclass
class _Run:
    """One call of `infer_stars`: what its steps share."""

    model: Model
    target: Target
    stars: Star
    source_id: np.ndarray
    settings: InferenceSettings
    columns: dict[str, np.ndarray]
    progress: Callable[[int], None] | None
    n_done: int
    ebv_limit_mag: np.ndarray

    def quadrature(self, fast: FastTarget, rows: np.ndarray) -> tuple[np.ndarray, Any]:
        """Step 1 of the fast engine; returns the rows that it did not settle, and their grids."""
        settings = self.settings.fast
        left: list[np.ndarray] = []
        grids: list[Any] = []
        for batch, padded in batches(rows, self.settings.fast_batch_size):
            part = take(self.stars, padded)
            noise = jax.tree.map(jnp.asarray, noise_of(fast.emulator, part))
            keys = star_keys(self.source_id[padded], self.settings.seed, Stream.CHECK_OF_STARS)
            found = quadrature_batch(
                fast, part, noise, keys, settings.check_nodes, settings.check_draws_per_node
            )
            result = jax.tree.map(np.asarray, found)
            k = pareto_k(result.log_weight)
            bad = unsettled(result, settings)[: len(batch)]
            good = np.flatnonzero(~bad)
            values = self._of_fast(part, result, k, padded)
            self._store(batch[good], {name: v[good] for name, v in values.items()}, FAST)
            if self.settings.density:
                self._store_columns(batch[good], density_of_grid(result.grid, good))
            left.append(batch[bad])
            grids.append(jax.tree.map(lambda a: a[: len(bad)][bad], result.grid))  # noqa: B023
            self._done(len(good))
        if not left:
            return rows, None
        return np.concatenate(left), jax.tree.map(lambda *a: np.concatenate(a), *grids)

    def importance(self, fast: FastTarget, rows: np.ndarray, grids: Any) -> np.ndarray:
        """Step 2 of the fast engine; returns the rows that it did not settle."""
        left = [rows[:0]]
        for start in range(0, len(rows), REFINED_BLOCK):
            block = slice(start, start + REFINED_BLOCK)
            left.append(
                self._importance_block(fast, rows[block], jax.tree.map(lambda a: a[block], grids))  # noqa: B023
            )
        return np.concatenate(left)

    def _importance_block(self, fast: FastTarget, rows: np.ndarray, grids: Any) -> np.ndarray:
        settings = self.settings.fast
        size = REFINED_AT_ONCE * max(1, self.settings.fast_batch_size // (8 * REFINED_AT_ONCE))
        together = Refined(len(rows), settings.refine_draws_per_node)
        pending, hopeless = np.arange(len(rows)), [np.zeros(0, dtype=int)]

        def inputs(padded: np.ndarray) -> tuple[Star, Noise, Grid]:
            part = take(self.stars, rows[padded])
            return part, jax.tree.map(jnp.asarray, noise_of(fast.emulator, part)), take(grids, padded)

        for batch, padded in batches(pending, size):
            zoomed = zoomed_batch(fast, *inputs(padded))
            for old, new in zip(grids, zoomed, strict=True):
                old[batch] = np.asarray(new)[: len(batch)]
        for number in range(settings.refine_rounds):
            again = []
            for batch, padded in batches(pending, size):
                part, noise, part_grids = inputs(padded)
                keys = star_keys(self.source_id[rows[padded]], self.settings.seed, Stream.ROUNDS_OF_WEIGHTS)
                found = refined_batch(
                    fast, part, noise, part_grids, keys, jnp.asarray(number), jnp.asarray(len(batch)),
                    settings.refine_nodes, settings.refine_draws_per_node,
                )  # fmt: skip
                draws, log_evidence = jax.tree.map(np.asarray, found)
                for i, star in enumerate(batch):
                    one = jax.tree.map(lambda a, i=i: a[i], draws)
                    together.add(star, one, float(log_evidence[i]))
                ess = together.effective(batch)
                last = number + 1 == settings.refine_rounds
                # At a rate as low as this, the rounds to come would not be enough.
                given_up = ~(ess >= settings.min_round_ess * (number + 1)) | last
                ready = given_up | (ess >= settings.min_refine_ess)
                done, handed_on = self._settle(together, rows, grids, batch[ready], given_up[ready], size)
                hopeless.append(handed_on)
                again.append(batch[~np.isin(batch, done)])
            pending = np.concatenate(again) if again else pending[:0]
        return rows[np.concatenate(hopeless)]

    def _settle(
        self,
        together: Refined,
        rows: np.ndarray,
        grids: Any,
        batch: np.ndarray,
        given_up: np.ndarray,
        size: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Store what the rounds of some stars of a block found; returns those that are done, and those handed on."""
        if not len(batch):
            return batch, batch
        settings, padded = self.settings.fast, np.resize(batch, size)
        draws = together.draws(batch)
        values = self._of_draws(take(self.stars, rows[padded]), draws, take(grids, padded), rows[padded])
        values["log_evidence"] = together.log_evidence(batch)
        good = (values["ess"] >= settings.min_refine_ess) & (values["pareto_k"] < settings.max_pareto_k)
        good &= np.isfinite(values["ebv_mean"])
        done = good | given_up
        stored = np.flatnonzero(good | (given_up & ~np.bool_(self.settings.hand_on)))
        values["status"] = np.where(
            ~good & (values["status"] == Status.OK.value), Status.LOW_ESS.value, values["status"]
        )
        self._store(rows[batch[stored]], {name: v[stored] for name, v in values.items()}, IMPORTANCE)
        if self.settings.density and len(stored):
            limits = (self.settings.ebv_min_mag, self.settings.ebv_max_mag)
            ebv, modulus, weight = (a[stored] for a in (draws.ebv_mag, draws.modulus_mag, draws.log_weight))
            per_node = settings.refine_draws_per_node
            self._store_columns(
                rows[batch[stored]], density_of_draws(ebv, modulus, weight, limits, n_together=per_node)
            )
        self._done(len(stored))
        together.forget(batch[done])
        return batch[done], np.setdiff1d(batch[done], batch[stored])

    def nuts(self, rows: np.ndarray) -> None:
        """The reference engine on some rows; stars whose chains failed get a second try, with more pilots."""
        self._nuts(self._nuts(rows, FIRST_TRY_PILOTS), SECOND_TRY_PILOTS)

    def _nuts(self, rows: np.ndarray, n_pilots: int) -> np.ndarray:
        """Returns the rows whose chains failed, which are stored like the others."""
        failed = [rows[:0]]
        for batch, padded in batches(rows, self.settings.batch_size):
            part = take(self.stars, padded)
            keys = star_keys(self.source_id[padded], self.settings.seed)
            draws = sample_stars(self.target, part, keys, self.settings.nuts, n_pilots)
            values = summarise(self.model, self.target, part, draws, self.ebv_limit_mag[padded])
            evidence_keys = star_keys(self.source_id[padded], self.settings.seed, Stream.EVIDENCE_OF_CHAINS)
            values["log_evidence"] = log_evidences(self.target, part, draws, evidence_keys)
            self._store(batch, {name: v[: len(batch)] for name, v in values.items()}, NUTS)
            if self.settings.density:
                ebv, modulus = (
                    np.asarray(a).reshape(len(padded), -1)[: len(batch)]
                    for a in (draws.ebv_mag, draws.distance_modulus_mag)
                )
                limits = (self.settings.ebv_min_mag, self.settings.ebv_max_mag)
                self._store_columns(batch, density_of_draws(ebv, modulus, np.zeros_like(ebv), limits))
            failed.append(batch[chains_failed(values, draws.diverging[0].size)[: len(batch)]])
            self._done(len(batch) - (len(failed[-1]) if n_pilots == FIRST_TRY_PILOTS else 0))
        return np.concatenate(failed)

    def _of_fast(self, part: Star, result: Any, k: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of a padded batch by either step of the fast engine; ``result`` is a `FastResult` on the host."""
        s: Any = result.summary  # host arrays by now
        columns = quantile_columns(
            {
                "ebv_mean": s.ebv_mean_mag, "ebv_std": s.ebv_std_mag, "ebv_quantiles": s.ebv_quantiles_mag,
                "distance_mean": s.distance_mean_pc, "distance_std": s.distance_std_pc,
                "distance_quantiles": s.distance_quantiles_pc, "ebv_distance_corr": s.correlation,
            }
        )  # fmt: skip
        columns["log_evidence"] = s.log_evidence
        columns["ess"], columns["pareto_k"] = result.check.ess, k
        return self._judged(
            part, columns, rows, modulus_mag=_peak_modulus_mag(result.grid), bp_rp_mag=result.bp_rp_mag,
            bright_share=result.bright_share, edge_share=result.edge_share, flow_chi2=result.flow_chi2,
        )  # fmt: skip

    def _of_draws(self, part: Star, draws: Any, grids: Grid, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of a batch by its weighted draws on the host; ``part``, ``grids`` and ``rows`` are padded."""
        columns = quantile_columns(weighted_summary(draws, np.array(LEVELS)))
        by_node = log_node_weights(draws.log_weight, self.settings.fast.refine_draws_per_node)
        columns["ess"], columns["pareto_k"] = effective_number(by_node), pareto_k(by_node)
        bright_share, edge_share = shares_near_ends(
            self.target, draws.ebv_mag, draws.unreddened_g_mag, normalised_weights(draws)
        )
        axes = zip(columns["ebv_mean"], np.asarray(grids.ebv_mag), np.asarray(grids.bp_rp_mag), strict=False)
        return self._judged(
            part, columns, rows, modulus_mag=_peak_modulus_mag(grids),
            bp_rp_mag=np.array([np.interp(*one) for one in axes]), bright_share=bright_share,
            edge_share=edge_share, flow_chi2=np.median(draws.flow_chi2, axis=1),
        )  # fmt: skip

    def _judged(
        self,
        part: Star,
        columns: dict[str, np.ndarray],
        rows: np.ndarray,
        *,
        modulus_mag: np.ndarray,
        bp_rp_mag: np.ndarray,
        bright_share: np.ndarray,
        edge_share: np.ndarray,
        flow_chi2: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Columns of a batch with ``status`` and ``flags``. What is compiled sees the padded size alone."""
        n_stars, size = len(columns["ebv_mean"]), len(rows)
        covered = covered_by_training(self.model, part, modulus_mag)
        ebv_mean_mag, bp_rp_mag, flow_chi2 = (
            np.resize(a, size) for a in (columns["ebv_mean"], bp_rp_mag, flow_chi2)
        )
        flags = flag_bits(
            self.model, self.target, part, ebv_mean_mag=ebv_mean_mag, bp_rp_mag=bp_rp_mag,
            flow_chi2=flow_chi2, covered=covered, ebv_limit_mag=self.ebv_limit_mag[rows],
        )  # fmt: skip
        columns["status"] = status_words(columns, {}, covered[:n_stars], bright_share, edge_share)
        columns["flags"] = flags[:n_stars]
        return columns

    def _store(self, rows: np.ndarray, values: dict[str, np.ndarray], engine: str) -> None:
        self._store_columns(rows, values)
        self.columns["engine"][rows] = engine

    def _store_columns(self, rows: np.ndarray, values: dict[str, np.ndarray]) -> None:
        for name, column in values.items():
            self.columns[name][rows] = column

    def _done(self, n_stars: int) -> None:
        self.n_done += n_stars
        if self.progress is not None:
            self.progress(self.n_done)


def _peak_modulus_mag(grids: Grid) -> np.ndarray:
    """Distance modulus of the peak of every grid. [mag]"""
    peak = np.argmax(np.asarray(grids.log_density).max(axis=2), axis=1)
    return np.asarray(grids.modulus_mag)[np.arange(len(peak)), peak]
