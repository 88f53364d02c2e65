"""Which stars are not of the model's population: their evidence against that of a broad density."""

from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from redflower.flow.outliers import log_outlier_density, outlier_probability
from redflower.flow.sample_share import PRIOR_ENDS, log_sample_share
from redflower.physics import distance_posterior_quantiles
from redflower.posterior.batches import batches, map_stars
from redflower.posterior.log_density import Target
from redflower.posterior.results import Request
from redflower.posterior.status import Status
from redflower.programs import kept_program
from redflower.star import Star

#: A star more probably an outlier than not has the status `Status.OUTLIER`.
OUTLIER_STATUS: Final = 0.5
#: Chains of the exact density are for stars of the population: one less probable than this is not given any.
OUTLIER_WITHOUT_CHAINS: Final = 0.9
#: Stars that a CPU core works on at once.
_AT_ONCE: Final = 64
#: What an outlier's status does not hide.
_KEPT: Final = tuple(
    status.value
    for status in (
        Status.NONFINITE, Status.NO_BANDS, Status.OUTSIDE_LIMITS, Status.FAILED, Status.OUTSIDE_COVERAGE,
    )
)  # fmt: skip


class Outliers:
    """What every star of a run would be if it were not of the population.

    Parameters
    ----------
    request : what is asked.
    rows : of the stars that can be inferred; the others have NaN.
    """

    def __init__(self, request: Request, rows: np.ndarray) -> None:
        target = request.target
        self._share = request.settings.outlier_share
        self._log_outlier = np.full(len(request.source_id), np.nan)
        stars = jax.tree.map(lambda a: np.asarray(a)[rows], request.stars)
        log_outlier = log_outlier_density(
            stars,
            request.model.flow.standardisation,
            n_bands=target.n_bands,
            g_bright_mag=target.g_bright_mag,
            g_faint_mag=target.g_faint_mag,
        )
        for batch, padded in batches(rows, request.settings.fast_batch_size):
            share = np.asarray(sample_shares(target, request.part(padded)))[: len(batch)]
            self._log_outlier[batch] = share
        # Evidences of inference are not divided by the share of all stars that is in the sample.
        self._log_outlier[rows] += log_outlier

    def probability(self, rows: np.ndarray, log_evidence: np.ndarray) -> Float[np.ndarray, " row"]:
        """Return the probability that each of some stars is not of the population; NaN without G. Equation: E28."""
        return outlier_probability(log_evidence, self._log_outlier[rows], self._share)

    def judge(self, columns: dict[str, np.ndarray]) -> None:
        """Fill in ``p_outlier``, and the status of the stars that are outliers more probably than not."""
        rows = np.arange(len(self._log_outlier))
        probability = self.probability(rows, columns["log_evidence"])
        columns["p_outlier"] = probability
        outlier = (probability > OUTLIER_STATUS) & ~np.isin(columns["status"], _KEPT)
        columns["status"][outlier] = Status.OUTLIER.value


@kept_program
def sample_shares(target: Target, stars: Star) -> Float[Array, " star"]:
    """Return ln of the share of all stars of each line of sight that is in the model's sample (E24)."""

    def one(star: Star) -> Float[Array, ""]:
        ends_pc = distance_posterior_quantiles(
            jnp.asarray(PRIOR_ENDS), star.parallax_mas, star.parallax_error_mas, jnp.zeros_like(star.has_parallax),
            star.prior_log_length_pc, star.prior_alpha, star.prior_beta,
        ).quantiles_pc  # fmt: skip
        return log_sample_share(
            target.flow, star, jnp.log(ends_pc), target.g_bright_mag, target.g_faint_mag,
            target.selection, target.prior_limit_mag,
        )  # fmt: skip

    return map_stars(one, stars, at_once=_AT_ONCE)
