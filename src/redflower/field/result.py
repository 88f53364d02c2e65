"""A fitted field of dust: E(B-V) out to any distance within it, draw by draw."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from redflower.distances import modulus_from_distance
from redflower.field.grid import FieldGrid
from redflower.field.posterior import dust_of_shells
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

    def ebv_mag(
        self,
        l_deg: Float[np.ndarray, " n"],
        b_deg: Float[np.ndarray, " n"],
        distance_pc: Float[np.ndarray, " distance"],
    ) -> Float[np.ndarray, "draw n distance"]:
        """Return E(B-V) of the dust out to distances, without the zero point. [mag]

        Equation: ES11. Directions outside the patch and distances beyond the last shell are NaN.
        """
        corner, weight = self.grid.corners(l_deg, b_deg)
        modulus = modulus_from_distance(distance_pc)
        place = jnp.asarray(self.grid.place(modulus), jnp.float32)
        numbers = self.numbers()
        out = np.empty((len(self.draws.log_density), len(corner), len(modulus)), np.float32)
        for k, log_density in enumerate(self.draws.log_density):
            share = share_in_front(place, jax.tree.map(lambda a, k=k: a[k], numbers))
            cells = np.asarray(_out_to(log_density, share, self.grid.shell_mag))
            out[k] = np.einsum("ncd,nc->nd", cells[corner], weight)
        out[:, :, modulus > self.grid.modulus_edges_mag[-1] + 1e-6] = np.nan
        out[:, ~self.grid.patch.holds(l_deg, b_deg), :] = np.nan
        return out


@partial(jax.jit, static_argnames="shell_mag")
def _out_to(log_density: jax.Array, share: jax.Array, shell_mag: float) -> jax.Array:
    return dust_of_shells(log_density, shell_mag) @ share.T  # ES11
