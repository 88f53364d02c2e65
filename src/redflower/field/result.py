"""A fitted field of dust: E(B-V) out to any distance within it, draw by draw."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpyro.diagnostics import split_gelman_rubin

from redflower.distances import modulus_from_distance
from redflower.field.grid import FieldGrid
from redflower.field.posterior import ebv_at_edges
from redflower.field.prior import FieldPrior, Numbers, share_in_front
from redflower.field.sampler import Draws


@dataclass(frozen=True)
class FieldFit:
    """Draws of a field from its posterior.

    Attributes
    ----------
    grid : cells and shells.
    prior : what was believed beforehand.
    draws : of the posterior.
    n_stars : stars that were fitted.
    """

    grid: FieldGrid
    prior: FieldPrior
    draws: Draws
    n_stars: int

    def numbers(self) -> Numbers:
        """Return the numbers of the field, an array over the draws for each."""
        return self.draws.numbers

    def r_hat(self) -> float:
        """Return the worst split R-hat of zero points, shared numbers and mean dust out to each edge: 1 where chains agree."""
        numbers = self.numbers()
        shell = np.exp(self.draws.log_density).mean(axis=(2, 3))
        followed = [
            *numbers.zero_point_mag.T,
            numbers.slope,
            numbers.alike,
            numbers.scatter_mag,
            *np.cumsum(shell, axis=1).T,
        ]
        n_chains = len(np.unique(self.draws.chain))
        with np.errstate(invalid="ignore"):
            values = [float(split_gelman_rubin(v.reshape(n_chains, -1))) for v in followed]
        return float(np.nanmax(values))

    def ebv_mag(
        self,
        l_deg: Float[np.ndarray, " n"],
        b_deg: Float[np.ndarray, " n"],
        distance_pc: Float[np.ndarray, " distance"],
    ) -> Float[np.ndarray, "draw n distance"]:
        """Return E(B-V) of the dust out to distances, without the zero point; nothing in front of the first shell. [mag]

        Equation: ES11. Directions outside the patch and distances beyond the last shell are NaN.
        """
        corner, weight = self.grid.corners(l_deg, b_deg)
        modulus = modulus_from_distance(distance_pc)
        shell, part = self.grid.shell_and_part(modulus)
        numbers = self.numbers()
        share = np.asarray(
            share_in_front(
                jnp.asarray(part[None, :]),
                jnp.asarray(numbers.place[:, shell]),
                jnp.asarray(numbers.thickness[:, shell]),
            )
        )
        out = np.empty((len(self.draws.log_density), len(corner), len(modulus)), np.float32)
        for k, log_density in enumerate(self.draws.log_density):
            cells = np.asarray(_edges(log_density, self.grid.shell_mag))
            near, far = cells[:, shell], cells[:, shell + 1]
            at = near + share[k] * (far - near)  # ES11
            out[k] = np.einsum("ncd,nc->nd", at[corner], weight)
        out[:, :, modulus > self.grid.modulus_edges_mag[-1] + 1e-6] = np.nan
        out[:, ~self.grid.patch.holds(l_deg, b_deg), :] = np.nan
        return out


_edges = jax.jit(ebv_at_edges, static_argnames="shell_mag")
