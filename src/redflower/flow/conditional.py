"""The conditional flow p(x | R, Z): density, exact marginals, the Malmquist mass, and draws."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from redflower.constants import LOG_SQRT_2PI
from redflower.flow.bnaf import BlockAutoregressiveNetwork, DenseWeights, dense_forward, leading_weights
from redflower.flow.standardise import Standardisation
from redflower.triangular import solve_lower


class ConditionalFlow(eqx.Module):
    """Density of x = (M_G, colours relative to G) of dust-free stars, given (log10 R/pc, log10 Z/pc).

    The map x -> u is triangular in the order of the bands, and u is standard normal. Three exact
    consequences are methods: `log_prob_terms` (the density of the first k bands is the product of the first k
    factors), `log_mass_between` (the share of stars between two values of M_G) and `sample`.
    """

    network: BlockAutoregressiveNetwork
    standardisation: Standardisation

    @property
    def n_bands(self) -> int:
        return self.network.dim

    def prepared(self) -> "PreparedFlow":
        """Return the flow with its effective weights computed, for use in an inner loop."""
        return PreparedFlow(_materialised(self.network), self.standardisation)


@eqx.filter_jit
def _materialised(network: BlockAutoregressiveNetwork) -> DenseWeights:
    """Compute the effective weights in one program: one by one its operations take most of a second to start."""
    return network.materialise()


class PreparedFlow(eqx.Module):
    """A `ConditionalFlow` with its effective weights computed once. All methods take one star."""

    weights: DenseWeights
    standardisation: Standardisation

    @property
    def n_bands(self) -> int:
        return self.weights.matrices[0].shape[1]

    def forward(
        self, x: Float[Array, " band"], condition: Float[Array, " cond"]
    ) -> tuple[Float[Array, " band"], Float[Array, " band"]]:
        """Evaluate u(x) and the diagonal of the Jacobian du_k/dx_k [1/mag]. Equation: E7."""
        u, slope = dense_forward(
            self.weights, self.standardisation.x(x), self.standardisation.condition(condition)
        )
        return u, slope * self.standardisation.slope

    def log_prob_terms(
        self, x: Float[Array, " band"], condition: Float[Array, " cond"]
    ) -> Float[Array, " band"]:
        """Evaluate ln p(x_k | x_1..x_(k-1), R, Z) for every k; their sum over k < n is ln p of the first n bands.

        Equation: E8 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 8.
        """
        return self.log_prob_terms_and_normal(x, condition)[0]

    def log_prob_terms_and_normal(
        self, x: Float[Array, " band"], condition: Float[Array, " cond"]
    ) -> tuple[Float[Array, " band"], Float[Array, " band"]]:
        """Evaluate `log_prob_terms`, and return with it the normal coordinates u(x), in which they were worked out."""
        u, slope = self.forward(x, condition)
        return -0.5 * u * u - LOG_SQRT_2PI + jnp.log(slope), u  # E8

    def log_prob(self, x: Float[Array, " band"], condition: Float[Array, " cond"]) -> Float[Array, ""]:
        """Evaluate ln p(x | R, Z), per mag of every coordinate. Equation: E8."""
        return jnp.sum(self.log_prob_terms(x, condition))

    def leading(self, n_leading: int) -> "PreparedFlow":
        """Return the exact marginal flow of the first `n_leading` bands."""
        s = self.standardisation
        return PreparedFlow(
            leading_weights(self.weights, self.n_bands, n_leading),
            Standardisation(
                x_mean=s.x_mean[:n_leading],
                x_inverse_cholesky=s.x_inverse_cholesky[:n_leading, :n_leading],
                condition_mean=s.condition_mean,
                condition_std=s.condition_std,
            ),
        )

    def log_mass_between(
        self,
        low_mag: Float[Array, ""],
        high_mag: Float[Array, ""],
        condition: Float[Array, " cond"],
    ) -> Float[Array, ""]:
        """Return ln P(low < M_G < high | R, Z), exact because the first coordinate's map gives its distribution function.

        Equation: E9b (docs/explanation/model.md).
        """
        first = self.leading(1)
        u_low, u_high = (first.forward(m[None], condition)[0][0] for m in (low_mag, high_mag))
        return log_normal_mass(u_low, u_high)  # E9b

    def log_mass_below(
        self, high_mag: Float[Array, ""], condition: Float[Array, " cond"]
    ) -> Float[Array, ""]:
        """Return ln P(M_G < high | R, Z), exactly. Equation: E9b (docs/explanation/model.md)."""
        return log_ndtr(self.leading(1).forward(high_mag[None], condition)[0][0])  # E9b

    def sample(self, key: PRNGKeyArray, condition: Float[Array, " cond"]) -> Float[Array, " band"]:
        """Draw one x given the condition, by bisection band by band; exact to float32."""
        return self.inverse(jax.random.normal(key, (self.n_bands,)), condition)

    def inverse(self, u: Float[Array, " band"], condition: Float[Array, " cond"]) -> Float[Array, " band"]:
        """Solve forward(x) = u for x."""
        s = self.standardisation
        standard_condition = s.condition(condition)

        def solve(k: Int[Array, ""], y: Float[Array, " band"]) -> Float[Array, " band"]:
            def value(y_k: Float[Array, ""]) -> Float[Array, ""]:
                return dense_forward(self.weights, y.at[k].set(y_k), standard_condition)[0][k]

            # The slope is at least MIN_SLOPE ** depth times the weights, so the bracket grows until it holds.
            def too_narrow(half_width: Float[Array, ""]) -> Array:
                inside = (value(-half_width) <= u[k]) & (value(half_width) >= u[k])
                return ~inside & (half_width < 1e6)

            half_width = jax.lax.while_loop(too_narrow, lambda w: 2.0 * w, jnp.asarray(8.0))

            def halve(_: Int[Array, ""] | int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
                low, high = bracket
                middle = 0.5 * (low + high)
                below = value(middle) < u[k]
                return jnp.where(below, middle, low), jnp.where(below, high, middle)

            low, high = jax.lax.fori_loop(0, 32, halve, (-half_width, half_width))
            return y.at[k].set(0.5 * (low + high))

        y = jax.lax.fori_loop(0, self.n_bands, solve, jnp.zeros(self.n_bands))
        return s.x_mean + solve_lower(s.x_inverse_cholesky, y)


def log_normal_mass(low: Float[Array, "*shape"], high: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return ln(Phi(high) - Phi(low)) for low < high, with finite gradients in both tails."""
    # In the upper tail both ndtr are near 1: use the mirror image, where they are small.
    mirror = low + high > 0
    upper, lower = jnp.where(mirror, -low, high), jnp.where(mirror, -high, low)
    log_upper, log_lower = log_ndtr(upper), log_ndtr(lower)
    # An interval narrower than float32 resolves would give log1p(-1); its mass is then not representable.
    ratio = jnp.minimum(log_lower - log_upper, -1e-6)
    return log_upper + jnp.log(-jnp.expm1(ratio))


def needed_bands(observed: Bool[Array | np.ndarray, " band"]) -> Bool[Array, " band"]:
    """Mark the bands up to the last observed one: those whose flow factors do not integrate to one."""
    return jnp.cumsum(jnp.asarray(observed)[::-1])[::-1] > 0


def leading_observed(observed: Bool[Array, " band"]) -> Bool[Array, " band"]:
    """Mark the bands before the first missing one: those whose marginal density is exact."""
    return jnp.cumprod(observed) > 0
