"""Where in (R, Z) the training sample had stars: the region in which the flow may be believed."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

N_CELLS = 48


class Coverage(eqx.Module):
    """Counts of training stars on a grid in (log10 R/pc, log10 Z/pc).

    Source: O'Callaghan et al. (2025), section 2.6 and figure 5.

    Attributes
    ----------
    log10_r_edges, log10_z_edges : edges of the cells.
    counts : stars per cell, at the median of their distance given parallax and prior.
    """

    log10_r_edges: Float[Array, " r_edge"]
    log10_z_edges: Float[Array, " z_edge"]
    counts: Float[Array, "r_cell z_cell"]

    def contains(self, condition: Float[Array, "*star cond"]) -> Bool[Array, "*star"]:
        """Tell whether the cell of a position (log10 R/pc, log10 Z/pc), or a neighbouring cell, held training stars."""
        cells = []
        for value, edges in zip(
            (condition[..., 0], condition[..., 1]), (self.log10_r_edges, self.log10_z_edges), strict=True
        ):
            step = (edges[-1] - edges[0]) / (len(edges) - 1)
            cells.append(jnp.floor((value - edges[0]) / step).astype(jnp.int32) + 1)
        padded = jnp.pad(self.counts, 2)
        shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        total = jnp.stack([jnp.roll(padded, shift, axis=(0, 1)) for shift in shifts]).sum(axis=0)[1:-1, 1:-1]
        inside = jnp.ones_like(cells[0], dtype=bool)
        for cell, size in zip(cells, total.shape, strict=True):
            inside &= (cell >= 0) & (cell < size)
        at = tuple(jnp.clip(cell, 0, size - 1) for cell, size in zip(cells, total.shape, strict=True))
        return inside & (total[at] > 0)


def fit_coverage(condition: np.ndarray) -> Coverage:
    """Compute the coverage of a sample of positions, an array (star, 2) of (log10 R/pc, log10 Z/pc)."""
    counts, r_edges, z_edges = np.histogram2d(condition[:, 0], condition[:, 1], bins=N_CELLS)
    return Coverage(*(jnp.asarray(a, dtype=jnp.float32) for a in (r_edges, z_edges, counts)))
