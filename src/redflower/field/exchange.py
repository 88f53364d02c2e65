"""A move of the sampler between states that differ in name alone: two neighbouring shells exchange their dust.

What is exchanged keeps its place along the line of sight, so that the map, and with it the likelihood, stays as it is. Shells are
independent of each other and alike beforehand, but for where their dust is expected: only that decides.
"""

from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from redflower.field.geometry import Coordinates, Field
from redflower.field.prior import N_SHARED, FieldPrior, mean_of_shells, shell_rows

#: Row of the numbers of a shell that stands for the place of its dust.
_PLACE: Final = 3


def exchanges(
    z: Float[np.ndarray, " number"], prior: FieldPrior, n_shells: int, rng: np.random.Generator
) -> Int[np.ndarray, " shell"]:
    """Draw exchanges of neighbouring shells, pair after pair, by Metropolis's rule; return the order of the shells after them.

    Equation: ES12: of the prior, only the places are another one.

    Parameters
    ----------
    z : the numbers that are sampled.
    prior : beliefs beforehand.
    n_shells : of the grid.
    rng : random numbers.
    """
    off = np.asarray(z[shell_rows(n_shells)[_PLACE]], float).copy()
    order, step = np.arange(n_shells), 1.0 / prior.place[1]
    for k in range(n_shells - 1):
        there = np.array([off[k + 1] + step, off[k] - step])
        rise = 0.5 * float((off[k : k + 2] ** 2).sum() - (there**2).sum())  # ES12
        if np.log(rng.random()) < rise:
            off[k : k + 2] = there
            order[k : k + 2] = order[k : k + 2][::-1].copy()
    return order


def numbers_in_order(
    z: Float[np.ndarray, " number"],
    order: Int[np.ndarray, " shell"],
    prior: FieldPrior,
    behind: Float[np.ndarray, " shell"],
) -> Float[np.ndarray, " number"]:
    """Return the numbers of the same field with its shells in another order: places and zero points are where they were."""
    n_shells = len(order)
    own = shell_rows(n_shells)
    out = np.array(z, float)
    out[own] = out[own][:, order]
    out[own[_PLACE]] += (order - np.arange(n_shells)) / prior.place[1]
    mean = np.asarray(mean_of_shells(jnp.asarray(z[:n_shells])), float)
    # Zero points are sampled together with the dust in front of the stars (ES14).
    moved = float((behind * mean[order]).sum() - (behind * mean).sum()) / prior.zero_point_std_mag
    out[own.size + N_SHARED :] += moved
    return out.astype(np.float32)


def coordinates_in_order(c: Coordinates, order: Int[np.ndarray, " shell"], middle: Any) -> Coordinates:
    """Return coordinates that suit the same field with its shells in another order."""
    n_shells = len(order)
    own = shell_rows(n_shells)
    rows = np.arange(len(c.middle))
    rows[own] = own[:, order]
    moving = np.concatenate([order, np.arange(n_shells, len(c.answer))])
    return Coordinates(
        told=c.told[order][:, order],
        root=c.root[rows],
        back=c.back[:, rows],
        middle=middle,
        answer=c.answer[moving][:, order],
    )


def field_in_order(
    field: Field, order: Int[np.ndarray, " shell"], prior: FieldPrior, behind: Float[np.ndarray, " shell"]
) -> Field:
    """Return the same field with its shells in another order."""
    return Field(field.modes[order], jnp.asarray(numbers_in_order(np.asarray(field.z), order, prior, behind)))
