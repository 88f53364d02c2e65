"""The proposal of noise-free magnitudes, half of it fitted to one star.

The emulator's denoiser proposes a normal distribution of a star's noise-free magnitudes. One network serves every star and every
pattern of gaps, and so is off by some of the width; most where a band is missing between others, whose magnitude nothing but the
flow holds. A step of Newton's method on the exact density mends the proposal: centre, covariance, and how the centre moves with
reddening and distance. A density that is no parabola can have longer tails than its own peak says. So half of the draws are
from the denoiser as it is, and all are weighted against the mean of both densities: no weight exceeds twice what either
gives.
"""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from redflower.bands import BP, RP, G
from redflower.flow.conditional import needed_bands
from redflower.flow.emulator import Noise
from redflower.physics import distance_pc_of_modulus, extinction_mag, flow_condition, unredden
from redflower.posterior.fast.grid import FastTarget, Grid, noisy_y
from redflower.posterior.fast.grid_summaries import moment_frame
from redflower.posterior.log_density import log_posterior_and_chi2
from redflower.star import Star
from redflower.triangular import inverse_of_lower, lower_root

#: Where slopes are compared, in the denoiser's own deviations: a flow is smooth over one, and rough below.
DIFFERENCE: Final = 1.0
#: Precisions below this, in the denoiser's own units, are not believed.
LEAST_PRECISION: Final = 0.3
#: Longest step of the centre, and its longest change over a deviation of the posterior.
LONGEST_STEP, LONGEST_SLOPE = 2.0, 3.0
#: The centre moves with reddening and distance up to so many deviations of the posterior.
REACH: Final = 2.0
#: The wider proposal of step 2: how many times as wide, and of how many of the nodes. Of a star off the locus the others may be
#: too sure.
WIDE: Final = 1.5
WIDE_SHARE: Final = 0.15


class Proposal(NamedTuple):
    """A normal distribution in the denoiser's normal numbers, whose centre moves with the place.

    Equation: EF9 (docs/explanation/model.md).

    Attributes
    ----------
    centre : at the mean of the posterior.
    per_ebv, per_modulus : what a deviation of E(B-V) or of the distance modulus adds to it.
    root : of the covariance, upper triangular.
    root_of_precision : its inverse, upper triangular.
    """

    centre: Float[Array, " band"]
    per_ebv: Float[Array, " band"]
    per_modulus: Float[Array, " band"]
    root: Float[Array, "band band"]
    root_of_precision: Float[Array, "band band"]

    def is_finite(self) -> Bool[Array, ""]:
        """Tell whether all of it is finite."""
        return jnp.stack([jnp.isfinite(part).all() for part in self]).all()


class Drawn(NamedTuple):
    """Numbers that the denoiser makes magnitudes of, drawn from both proposals.

    Attributes
    ----------
    normal : the numbers.
    log_ratio : ln of the density that they are drawn from over that of the denoiser's own proposal.
    """

    normal: Float[Array, "band draw node"]
    log_ratio: Float[Array, "draw node"]


class ExactDensity(NamedTuple):
    """The exact density at noise-free magnitudes of a star, of E16.

    Attributes
    ----------
    log_density : of reddened magnitudes, whose stretch against intrinsic ones is divided out.
    flow_chi2 : squared length in the flow's normal coordinates.
    unreddened_g_mag : apparent G without dust. [mag]
    """

    log_density: Float[Array, "*draw"]
    flow_chi2: Float[Array, "*draw"]
    unreddened_g_mag: Float[Array, "*draw"]


def exact_density(
    fast: FastTarget,
    star: Star,
    reddened_mag: Float[Array, " band"],
    modulus_mag: Float[Array, ""],
    ebv_mag: Float[Array, ""],
) -> ExactDensity:
    """Evaluate the exact density at reddened absolute magnitudes. Equation: E16 (docs/explanation/model.md)."""
    exact = fast.exact
    bp_rp_mag, stretch = unredden(exact.law, reddened_mag[BP] - reddened_mag[RP], ebv_mag)
    absolute_mag = reddened_mag - extinction_mag(exact.law, ebv_mag, bp_rp_mag)[: len(reddened_mag)]
    # The map from intrinsic to reddened magnitudes stretches along BP - RP alone.
    log_density, chi2 = log_posterior_and_chi2(exact, star, ebv_mag, modulus_mag, absolute_mag)
    return ExactDensity(
        log_density=log_density - jnp.log(jnp.maximum(stretch, 1e-3)),
        flow_chi2=chi2,
        unreddened_g_mag=absolute_mag[G] + modulus_mag,
    )


def exact_densities(
    fast: FastTarget,
    star: Star,
    magnitude_mag: Float[Array, "band draw node"],
    modulus_mag: Float[Array, " node"],
    ebv_mag: Float[Array, " node"],
) -> ExactDensity:
    """Evaluate the exact density at magnitudes that the denoiser proposes; arrays of (node, draw)."""
    reddened_mag = magnitude_mag + fast.emulator.reference[:, None, None] * ebv_mag
    # Draws of a node side by side, bands last: one row of the flow's matrix products each.
    by_node = jnp.moveaxis(reddened_mag, 0, -1).swapaxes(0, 1)
    at_node = jax.vmap(lambda *place: exact_density(fast, star, *place), in_axes=(0, None, None))
    return jax.vmap(at_node)(by_node, modulus_mag, ebv_mag)


def fit_proposal(fast: FastTarget, star: Star, noise: Noise, grid: Grid) -> Proposal:
    """Fit the proposal of one star; where that fails it stays the denoiser's own.

    The precision comes from differences of slopes at the mean of the posterior, the centre from Newton's step there, and how it
    moves from the steps a deviation away on either side along both axes.

    Equation: EF9 (docs/explanation/model.md).
    """
    n = fast.emulator.n_bands
    frame = moment_frame(grid)
    needed = needed_bands(noise.observed)
    low_mag, high_mag = fast.exact.ebv_min_mag, fast.exact.ebv_max_mag
    # The mean, then a deviation below and above it along either axis.
    away = jnp.array([0.0, -1.0, 1.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 0.0, -1.0, 1.0])
    ebv_mag = jnp.clip(frame.ebv_mean_mag + frame.ebv_std_mag * away[0], low_mag, high_mag)
    modulus_mag = frame.modulus_mean_mag + frame.modulus_std_mag * away[1]
    slopes = _slopes(fast, star, noise, needed, modulus_mag, ebv_mag)
    inner, outer = slopes[: 1 + 2 * n], slopes[1 + 2 * n :]
    precision = (inner[1 + n :] - inner[1 : 1 + n]) / (2.0 * DIFFERENCE)
    lower = lower_root(0.5 * (precision + precision.T), LEAST_PRECISION)
    root = inverse_of_lower(lower).T
    centres = jnp.concatenate([inner[:1], outer]) @ root @ root.T

    def along(low: Array, high: Array, width_mag: Array, std_mag: Array) -> Array:
        """Return the change of the centre over a deviation, from its places below and above the mean."""
        change = shortened(high, LONGEST_SLOPE) - shortened(low, LONGEST_SLOPE)
        return change * std_mag / jnp.maximum(width_mag, 1e-6)

    fitted = Proposal(
        centre=shortened(centres[0], LONGEST_STEP),
        per_ebv=along(centres[1], centres[2], ebv_mag[2] - ebv_mag[1], frame.ebv_std_mag),
        per_modulus=along(centres[3], centres[4], modulus_mag[4] - modulus_mag[3], frame.modulus_std_mag),
        root=root,
        root_of_precision=lower.T,
    )  # EF9
    usable = fitted.is_finite()
    return jax.tree.map(lambda new, own: jnp.where(usable, new, own), fitted, own_proposal(n))


def own_proposal(n_bands: int) -> Proposal:
    """Return the denoiser's own proposal: standard normal numbers stay what they are."""
    none, same = jnp.zeros(n_bands), jnp.eye(n_bands)
    return Proposal(centre=none, per_ebv=none, per_modulus=none, root=same, root_of_precision=same)


def mirrored_normal(
    key: PRNGKeyArray, wide_key: PRNGKeyArray, shape: tuple[int, int, int], *, wider: bool
) -> Float[Array, "band draw node"]:
    """Draw standard normal numbers in mirrored pairs, an even number per node.

    With ``wider``, those of a share `WIDE_SHARE` of the nodes are `WIDE` times as large.
    """
    n, n_per_node, n_nodes = shape
    half = jax.random.normal(key, (n, n_per_node // 2, n_nodes))
    if wider:
        half = half * jnp.where(jax.random.uniform(wide_key, (n_nodes,)) < WIDE_SHARE, WIDE, 1.0)
    return jnp.stack([half, -half], axis=2).reshape(shape)


def draw_from_both(
    proposal: Proposal,
    grid: Grid,
    normal: Float[Array, "band draw node"],
    modulus_mag: Float[Array, " node"],
    ebv_mag: Float[Array, " node"],
    *,
    needed: Bool[Array, " band"],
    wider: bool = False,
) -> Drawn:
    """Make draws of standard normal numbers: the first half of a node's from the fitted proposal, the others from the denoiser's.

    All are weighted against the mean of both densities (the balance heuristic of Veach & Guibas 1995).

    Equation: EF9 (docs/explanation/model.md).

    Parameters
    ----------
    proposal : the fitted one.
    normal : of `mirrored_normal`.
    needed : bands that count.
    wider : as it was there.
    """
    frame = moment_frame(grid)
    at_ebv = jnp.clip((ebv_mag - frame.ebv_mean_mag) / frame.ebv_std_mag, -REACH, REACH)
    at_modulus = jnp.clip((modulus_mag - frame.modulus_mean_mag) / frame.modulus_std_mag, -REACH, REACH)
    centre = (
        proposal.centre[:, None]
        + proposal.per_ebv[:, None] * at_ebv
        + proposal.per_modulus[:, None] * at_modulus
    )[:, None]

    def times(matrix: Float[Array, "band band"], numbers: Float[Array, "band draw node"]) -> Array:
        return (matrix @ numbers.reshape(len(numbers), -1)).reshape(numbers.shape)

    half = normal.shape[1] // 2
    own = jnp.concatenate([centre + times(proposal.root, normal[:, :half]), normal[:, half:]], axis=1)
    fitted = jnp.concatenate(
        [normal[:, :half], times(proposal.root_of_precision, normal[:, half:] - centre)], axis=1
    )

    def chi2(numbers: Float[Array, "band draw node"]) -> Float[Array, "draw node"]:
        return jnp.sum(jnp.where(needed[:, None, None], numbers**2, 0.0), axis=0)

    def log_wider(chi2: Float[Array, "draw node"]) -> Float[Array, "draw node"] | float:
        """Return ln of the density with its wider part over that without."""
        if not wider:
            return 0.0
        log_wide = 0.5 * (1.0 - WIDE**-2) * chi2 - jnp.sum(needed) * jnp.log(WIDE)
        return jnp.logaddexp(jnp.log(1.0 - WIDE_SHARE), jnp.log(WIDE_SHARE) + log_wide)

    of_own, of_fitted = chi2(own), chi2(fitted)
    log_precision = jnp.sum(jnp.log(jnp.diagonal(proposal.root_of_precision)))
    log_fitted_over_own = log_wider(of_fitted) + 0.5 * (of_own - of_fitted) + log_precision
    log_ratio = jnp.logaddexp(log_wider(of_own), log_fitted_over_own) - jnp.log(2.0)  # EF9
    return Drawn(normal=own, log_ratio=log_ratio)


def _slopes(
    fast: FastTarget,
    star: Star,
    noise: Noise,
    needed: Bool[Array, " band"],
    modulus_mag: Float[Array, " node"],
    ebv_mag: Float[Array, " node"],
) -> Float[Array, "place band"]:
    """Return the slope of ln of the exact density along the denoiser's normal numbers.

    At the first node: where all numbers are zero, and `DIFFERENCE` above and below along each. At the others: at zero alone.
    Magnitudes are linear in the normal numbers, so that the flow's slope along magnitudes is all that has to be worked out.
    """
    emulator = fast.emulator
    n = emulator.n_bands
    y = noisy_y(emulator, star, noise, ebv_mag, modulus_mag)
    condition = flow_condition(distance_pc_of_modulus(modulus_mag), star.l_deg, star.b_deg)
    seen = emulator.see(y, ebv_mag, condition, noise)
    about = DIFFERENCE * jnp.eye(n)
    asked = jnp.concatenate([jnp.zeros((n, 1)), about], axis=1)
    magnitude_mag, _ = emulator.propose(
        y, seen, noise, jnp.broadcast_to(asked[:, :, None], (n, 1 + n, len(ebv_mag)))
    )
    middle_mag = magnitude_mag[:, 0]
    per_normal_mag = (magnitude_mag[:, 1:] - middle_mag[:, None]) / DIFFERENCE
    above_mag = magnitude_mag[:, 1:, 0]
    below_mag = 2.0 * middle_mag[:, :1] - above_mag
    place_mag = jnp.concatenate([middle_mag[:, :1], above_mag, below_mag, middle_mag[:, 1:]], axis=1)
    node = jnp.array([0] * (1 + 2 * n) + list(range(1, len(ebv_mag))))
    reddened_mag = place_mag + emulator.reference[:, None] * ebv_mag[node]

    def log_density(reddened_mag: Array, modulus_mag: Array, ebv_mag: Array) -> Array:
        return exact_density(fast, star, reddened_mag, modulus_mag, ebv_mag).log_density

    per_mag = jax.vmap(jax.grad(log_density))(reddened_mag.T, modulus_mag[node], ebv_mag[node])
    slopes = jnp.sum(per_mag[:, :, None] * per_normal_mag.transpose(2, 0, 1)[node], axis=1)
    # Bands that do not count stay as the denoiser has them.
    steps = jnp.concatenate([jnp.zeros((1, n)), about, -about, jnp.zeros((len(ebv_mag) - 1, n))])
    return slopes - jnp.where(needed, 0.0, steps)


def shortened(step: Float[Array, " n"], longest: float) -> Float[Array, " n"]:
    """Return a step of at most some length, in its direction."""
    return step * jnp.minimum(1.0, longest / jnp.maximum(jnp.linalg.norm(step), 1e-9))
