"""A training star with all that the estimator of its evidence needs, computed once."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from redflower.star import Star

#: Quantiles of p(d | parallax) are tabulated where a normal distribution has them, out to 4.5 deviations: ln d as a function of
#: the normal score is nearly a straight line, in the tails too.
N_POSTERIOR_NODES = 66
# Plain arrays, for an import starts no device: JAX may have been asked for one that is not there.
POSTERIOR_SCORES = np.linspace(-4.5, 4.5, N_POSTERIOR_NODES, dtype=np.float32)
POSTERIOR_LEVELS = special.ndtr(POSTERIOR_SCORES.astype(float)).astype(np.float32)
#: The lower limit of parallax that stands for none. [mas]
NO_PARALLAX_CUT_MAS = -1e6


class TrainingStar(eqx.Module):
    """A star with what the estimator needs, computed once. A batch has a leading ``star`` axis.

    Attributes
    ----------
    star : the data.
    posterior_log_distance : ln of the quantiles of p(d | parallax) at `POSTERIOR_LEVELS`, d in pc.
    log_parallax_evidence : ln of the integral of p(parallax | d) p(d) over d.
    geometric_distance_pc, geometric_sigma_pc : centre and half of the central 68 % interval of p(d | parallax),
        for the Gaussian proposal of appendix A. [pc]
    prior_log_range : ln of the quantiles of the prior p(d) at `redflower.flow.sample_share.PRIOR_ENDS`, d in pc.
    parallax_min_mas : the parallax above which alone a star came into the sample; `NO_PARALLAX_CUT_MAS` without. [mas]
    log_outlier : ln of the density of the star's data, if it is not of the population (E26); 0 until its colours are known.
    """

    star: Star
    posterior_log_distance: Float[Array, "*star node"]
    log_parallax_evidence: Float[Array, "*star"]
    geometric_distance_pc: Float[Array, "*star"]
    geometric_sigma_pc: Float[Array, "*star"]
    prior_log_range: Float[Array, "*star 2"]
    parallax_min_mas: Float[Array, "*star"]
    log_outlier: Float[Array, "*star"]
