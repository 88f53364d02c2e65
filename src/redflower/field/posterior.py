"""The log posterior density of a field of dust, given tables of its stars."""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from redflower.errors import InputError
from redflower.field.grid import FieldGrid
from redflower.field.prior import (
    FieldPrior,
    Numbers,
    hartley,
    log_prior_of_numbers,
    log_spectrum,
    numbers_of,
    share_in_front_of,
)
from redflower.field.star_tables import LEVEL_STEP_MAG, SCATTERS_MAG, StarTables
from redflower.field.whitening import Waves, waves_of, whitened, whitening

#: A likelihood below this counts as this: interpolation may come out below nothing.
_TINY: Final = 1e-12
#: Of the natural logarithm of a density, so that a wild step of the sampler ends in a bad place and not in an infinite one.
_LOG_DENSITY_MAX: Final = 3.0


class FieldData(NamedTuple):
    """Stars and grid as the compiled density wants them.

    Attributes
    ----------
    table : likelihoods, a row for every star and distance: what is looked up together lies together.
    corner, corner_weight : cells about every star.
    place : every star's distance moduli beyond the first edge, in units of a shell's width.
    travelled_mag : distance modulus of every star's distances beyond the first edge, held within the shells. [mag]
    group : whose zero point each star has.
    behind : share of the stars that lie behind each shell.
    level_start_mag : first mean reddening of the tables. [mag]
    waves : the grid's modes.
    """

    table: Float[Array, "row level scatter"]
    corner: Int[Array, "star corner"]
    corner_weight: Float[Array, "star corner"]
    place: Float[Array, "star node"]
    travelled_mag: Float[Array, "star node"]
    group: Int[Array, " star"]
    behind: Float[Array, " shell"]
    level_start_mag: Float[Array, ""]
    waves: Waves


def field_data(
    tables: StarTables,
    l_deg: np.ndarray,
    b_deg: np.ndarray,
    group: np.ndarray,
    grid: FieldGrid,
    *,
    n_rows: int | None = None,
) -> FieldData:
    """Make the data of a field from the tables and positions of its stars.

    Parameters
    ----------
    tables, l_deg, b_deg, group : of the stars.
    grid : cells and shells.
    n_rows : rows to have; those beyond the stars say nothing. If None, as many as stars.
    """
    n = len(l_deg)
    n_more = (n_rows or n) - n
    corner, weight = grid.corners(l_deg, b_deg)
    near, far = grid.modulus_edges_mag[0], grid.modulus_edges_mag[-1]
    modulus = np.resize(tables.modulus_mag, (n + n_more, tables.modulus_mag.shape[1]))
    _, n_nodes, n_scatters, n_levels = tables.value.shape
    _check_size((n + n_more) * n_nodes * n_levels * n_scatters)
    # Beyond the stars, likelihoods of 1 in all, wherever and however red.
    table = np.full((n + n_more, n_nodes, n_levels, n_scatters), 1.0 / n_nodes, np.float32)
    table[:n] = np.swapaxes(tables.value, 2, 3)

    def longer(values: np.ndarray) -> np.ndarray:
        return np.resize(values, (n + n_more, *values.shape[1:]))

    return FieldData(
        table=jnp.asarray(table.reshape(-1, n_levels, n_scatters)),
        corner=jnp.asarray(longer(corner), jnp.int32),
        corner_weight=jnp.asarray(longer(weight), jnp.float32),
        place=jnp.asarray(grid.place(modulus), jnp.float32),
        travelled_mag=jnp.asarray(np.clip(modulus, near, far) - near, jnp.float32),
        group=jnp.asarray(longer(group), jnp.int32),
        behind=jnp.asarray(
            (modulus.mean(axis=1)[:, None] > grid.modulus_edges_mag[1:]).mean(axis=0), jnp.float32
        ),
        level_start_mag=jnp.float32(tables.level_start_mag),
        waves=waves_of(grid.wave_number()),
    )


def _check_size(n_values: int) -> None:
    """Refuse more likelihoods than can be numbered in the compiled density."""
    if n_values >= 2**31:
        raise InputError(
            "a field map has more stars than one fit can hold, about a million; divide the region with tile_deg (--tile)."
        )


def log_density_map(
    modes: Float[Array, "shell row column"], numbers: Numbers, wave_number: Float[Array, "row column"]
) -> Float[Array, "shell row column"]:
    """Return the natural logarithm of the dust's density in every shell and cell, in mag per mag. Equation: ES11.

    Parameters
    ----------
    modes : independent standard normal ones.
    numbers : of the field.
    wave_number : of the modes. [rad/deg]
    """
    varied = jnp.exp(0.5 * log_spectrum(numbers, wave_number)) * modes  # ES12
    # The mean of the density, not of its logarithm, is what stars know best.
    level = numbers.log_mean - 0.5 * numbers.log_scatter**2
    return jnp.minimum(level[:, None, None] + hartley(varied), _LOG_DENSITY_MAX)  # ES11


def dust_of_shells(
    log_density: Float[Array, "shell row column"], shell_mag: float
) -> Float[Array, "cell shell"]:
    """Return E(B-V) of the dust of every shell, a row for each cell. Equation: ES11. [mag]"""
    return shell_mag * jnp.exp(log_density).reshape(len(log_density), -1).T  # ES11


def levels(
    dust_mag: Float[Array, "star shell"], numbers: Numbers, data: FieldData
) -> Float[Array, "star node"]:
    """Return the reddening that every star would have at each of its distances, its zero point included. Equation: ES13. [mag]"""
    # Shell after shell: the shares of all shells at once would be most of the cost of a step.
    level = sum(
        share_in_front_of(data.place, numbers, k) * dust_mag[:, k, None] for k in range(dust_mag.shape[1])
    )  # ES11
    return level + numbers.zero_point_mag[data.group][:, None] + numbers.drift * data.travelled_mag


def log_likelihoods(
    level_mag: Float[Array, "star node"], numbers: Numbers, data: FieldData
) -> Float[Array, " star"]:
    """Evaluate the log likelihood of every star for its reddening at each of its distances. Equation: ES13."""
    inlier = jnp.maximum(likelihoods(level_mag, numbers, data).sum(axis=1), _TINY)
    return jnp.log((1.0 - numbers.outlier_share) * inlier + numbers.outlier_share)  # ES13


def likelihoods(
    level_mag: Float[Array, "star node"], numbers: Numbers, data: FieldData
) -> Float[Array, "star node"]:
    """Look up the likelihood of every star at each of its distances. Equation: ES10."""
    # In one row, as the table is: of two dimensions the compiler may choose an order in which looking up takes twice as long.
    level = jax.lax.optimization_barrier(level_mag.reshape(-1))
    squares = jnp.asarray(np.array(SCATTERS_MAG) ** 2, jnp.float32)
    square = jnp.clip(numbers.scatter_mag**2, squares[0], squares[-1])
    lower = jnp.clip(jnp.searchsorted(squares, square, side="right") - 1, 0, len(squares) - 2)
    part = (square - squares[lower]) / (squares[lower + 1] - squares[lower])
    n_levels, n_scatters = data.table.shape[1:]
    place = jnp.clip((level - data.level_start_mag) / LEVEL_STEP_MAG, 1.0, n_levels - 2.001)
    index = place.astype(jnp.int32)
    t = place - index
    # Catmull-Rom: continuous slopes, which leapfrog steps need.
    weights = (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
    first = (jnp.arange(len(data.table), dtype=jnp.int32) * n_levels + index - 1) * n_scatters
    near = jax.lax.optimization_barrier(_slices(data.table.reshape(-1), first, 4 * n_scatters))
    of = [jnp.where(lower == k, 1.0 - part, jnp.where(lower == k - 1, part, 0.0)) for k in range(n_scatters)]
    inlier = jnp.zeros(level.shape)
    for k, weight in enumerate(weights):
        inlier = inlier + weight * sum(of[j] * near[:, k * n_scatters + j] for j in range(n_scatters))
    return jax.lax.optimization_barrier(inlier).reshape(level_mag.shape)


def _slices(
    values: Float[Array, " value"], first: Int[Array, " slice"], length: int
) -> Float[Array, "slice near"]:
    """Return slices of a row, as rows: to look their values up one by one would take several times as long."""
    one = jax.lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(), start_index_map=(0,))
    return jax.lax.gather(values, first[:, None], one, (length,), mode="promise_in_bounds")


def towards_stars(
    modes: Float[Array, "shell row column"], numbers: Numbers, data: FieldData, shell_mag: float
) -> Float[Array, "star shell"]:
    """Return E(B-V) of the dust of every shell in every star's direction. Equation: ES11. [mag]"""
    cells = dust_of_shells(log_density_map(modes, numbers, data.waves.wave_number), shell_mag)
    return jnp.einsum("scj,sc->sj", cells[data.corner], data.corner_weight)


def log_posterior(
    z: Float[Array, " number"],
    white: Float[Array, "shell row column"],
    data: FieldData,
    told: Float[Array, "shell other"],
    prior: FieldPrior,
    shell_mag: float,
) -> Float[Array, ""]:
    """Evaluate the log posterior density in the coordinates that are sampled. Equations: ES11 to ES14."""
    numbers = numbers_of(z, prior, data.behind, shell_mag)
    modes, factor = whitened(white, whitening(numbers, data.waves, told))
    level = levels(towards_stars(modes, numbers, data, shell_mag), numbers, data)
    stars = total(log_likelihoods(level, numbers, data))
    of_modes = -0.5 * total(modes**2) + total(factor)  # ES12, ES14
    return stars + of_modes + log_prior_of_numbers(z, numbers, prior)


def total(values: Float[Array, "..."]) -> Float[Array, ""]:
    """Return the sum of an array, axis by axis: one sum over all loses digits in single precision."""
    if values.ndim == 1 and values.size > 4096:
        values = jnp.pad(values, (0, -values.size % 256)).reshape(-1, 256)
    while values.ndim:
        values = values.sum(axis=-1)
    return values
