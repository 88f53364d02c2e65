"""Posteriors of any number of stars: batches of one size, a row per star whatever happens to it."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from redflower.bands import G, band_labels
from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.errors import InputError
from redflower.flow.model import Model
from redflower.posterior.log_density import make_target
from redflower.posterior.nuts import NutsSettings, sample_stars
from redflower.posterior.status import Flag, Status
from redflower.posterior.summaries import QUANTILES, log_evidences, summarise
from redflower.star import Star

MIN_BANDS = 3
FLOAT_COLUMNS = (
    *(f"{name}_{label}" for name in ("ebv", "distance") for label in ("mean", "std", *QUANTILES)),
    "ebv_distance_corr",
    "log_evidence",
    "ess",
    "r_hat",
)


@dataclass(frozen=True)
class InferenceSettings:
    """What a user may choose of an inference run.

    Attributes
    ----------
    ebv_min_mag, ebv_max_mag : ends of the uniform reddening prior. [mag]
    nuts : length of the chains.
    batch_size : stars sampled side by side; results do not depend on it beyond rounding.
    seed : added to each star's own seed, which comes from its source_id.
    """

    ebv_min_mag: float = EBV_MIN_MAG
    ebv_max_mag: float = EBV_MAX_MAG
    nuts: NutsSettings = NutsSettings()
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not -0.5 <= self.ebv_min_mag < self.ebv_max_mag <= 5.0:
            raise InputError(
                "The reddening prior needs -0.5 <= ebv_min < ebv_max <= 5 mag; got "
                f"ebv_min = {self.ebv_min_mag}, ebv_max = {self.ebv_max_mag}."
            )
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1; got {self.batch_size}.")


def infer_stars(
    model: Model,
    stars: Star,
    source_id: np.ndarray,
    settings: InferenceSettings,
    *,
    progress: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Posterior summaries of a batch of stars, in its order.

    Parameters
    ----------
    model : the trained model.
    stars : the batch, host arrays with a leading ``star`` axis.
    source_id : integer per star; the seed of its random draws.
    settings : prior limits, chain lengths, batch size.
    progress : called with the number of stars done after every batch.

    Returns
    -------
    One array per column of the output table (DESIGN: ``ebv_*``, ``distance_*``, ...). Stars that cannot be inferred
    have NaN and a status that says why.
    """
    n_stars = len(source_id)
    target = make_target(model, ebv_min_mag=settings.ebv_min_mag, ebv_max_mag=settings.ebv_max_mag)
    observed = np.asarray(stars.observed)[:, : target.n_bands]
    status = unusable_status(model, stars)
    columns: dict[str, np.ndarray] = {name: np.full(n_stars, np.nan) for name in FLOAT_COLUMNS}
    columns["divergences"] = np.zeros(n_stars, dtype=np.int64)
    columns["bands"] = np.array([band_labels(list(row)) for row in observed], dtype=str)
    columns["status"] = status
    columns["flags"] = np.where(observed.all(axis=1), 0, int(Flag.MISSING_BAND)).astype(np.int64)
    rows = np.flatnonzero(status == "")
    for start in range(0, len(rows), settings.batch_size):
        batch = rows[start : start + settings.batch_size]
        padded = np.resize(batch, settings.batch_size)
        part = jax.tree.map(lambda a, padded=padded: jnp.asarray(np.asarray(a)[padded]), stars)
        keys = star_keys(source_id[padded], settings.seed)
        draws = sample_stars(target, part, keys, settings.nuts)
        result = summarise(model, target, part, draws)
        evidence_keys = jax.vmap(lambda k: jax.random.fold_in(k, 1))(keys)
        result["log_evidence"] = log_evidences(target, part, draws, evidence_keys)
        for name, values in result.items():
            columns[name][batch] = values[: len(batch)]
        failed = batch[columns["status"][batch] == Status.NONFINITE.value]
        for name in FLOAT_COLUMNS:
            columns[name][failed] = np.nan
        if progress is not None:
            progress(min(start + settings.batch_size, len(rows)) + n_stars - len(rows))
    return columns


def unusable_status(model: Model, stars: Star) -> np.ndarray:
    """A status word for every star that cannot be inferred at all; empty for the others."""
    n = model.n_bands
    observed = np.asarray(stars.observed)[:, :n]
    magnitude_mag, error_mag = (
        np.asarray(a)[:, :n] for a in (stars.magnitude_mag, stars.magnitude_error_mag)
    )
    per_band = np.isfinite(magnitude_mag) & np.isfinite(error_mag) & (error_mag > 0)
    has_parallax = np.asarray(stars.has_parallax)
    parallax_fine = np.isfinite(stars.parallax_mas) & (np.asarray(stars.parallax_error_mas) > 0)
    scalars = (stars.l_deg, stars.b_deg, stars.prior_log_length_pc, stars.prior_alpha, stars.prior_beta)
    finite = np.all([np.isfinite(a) for a in scalars], axis=0)
    finite &= (per_band | ~observed).all(axis=1) & (parallax_fine | ~has_parallax)
    g_mag = magnitude_mag[:, G]
    conditions = {
        Status.NO_BANDS: ~observed[:, G] | (observed.sum(axis=1) < MIN_BANDS),
        Status.NONFINITE: ~finite,
        Status.OUTSIDE_LIMITS: (g_mag < model.g_bright_mag) | (g_mag > model.g_faint_mag),
    }
    longest = max(len(s) for s in Status)
    words = np.select(list(conditions.values()), [s.value for s in conditions], default="")
    return words.astype(f"<U{longest}")


def star_keys(source_id: np.ndarray, seed: int) -> jax.Array:
    """One random key per star, from its source_id alone, so that order and partitioning do not matter."""
    ids = np.asarray(source_id).astype(np.int64).view(np.uint64)
    high, low = (ids >> np.uint64(32)).astype(np.uint32), (ids & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    base = jax.random.key(seed)
    return jax.vmap(lambda h, w: jax.random.fold_in(jax.random.fold_in(base, h), w))(high, low)
