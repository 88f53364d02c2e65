"""The log posterior density of a field of dust, given tables of its stars."""

from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from redflower.field.grid import FieldGrid
from redflower.field.prior import (
    FieldPrior,
    Numbers,
    hartley,
    log_prior_of_numbers,
    log_spectrum,
    numbers_of,
    share_in_front,
)
from redflower.field.star_tables import LEVEL_STEP_MAG, SCATTERS_MAG, StarTables

#: A likelihood below this counts as this: interpolation may come out below nothing.
_TINY: Final = 1e-12
#: Of the natural logarithm of a density, so that a wild step of the sampler ends in a bad place and not in an infinite one.
_LOG_DENSITY_MAX: Final = 3.0


class FieldData(NamedTuple):
    """Stars and grid as the compiled density wants them.

    Attributes
    ----------
    table : likelihoods, a row for every star, distance and scatter.
    corner, corner_weight : cells about every star.
    shell : shell of every star's distances, 1 there and 0 elsewhere.
    part : how far into that shell they are.
    travelled_mag : distance modulus of every star's distances beyond the first edge, held within the shells. [mag]
    group : whose zero point each star has.
    behind : share of the stars that lie behind each shell.
    level_start_mag : first mean reddening of the tables. [mag]
    wave_number : of the grid's modes. [rad/deg]
    """

    table: Float[Array, "row level"]
    corner: Int[Array, "star corner"]
    corner_weight: Float[Array, "star corner"]
    shell: Float[Array, "star node shell"]
    part: Float[Array, "star node"]
    travelled_mag: Float[Array, "star node"]
    group: Int[Array, " star"]
    behind: Float[Array, " shell"]
    level_start_mag: Float[Array, ""]
    wave_number: Float[Array, "row column"]


class Reference(NamedTuple):
    """A field near the posterior's middle, about which coordinates are chosen that are nearly independent.

    Attributes
    ----------
    log_spectrum : natural log of the variance of every mode there.
    centring : from 0, where the stars say nothing of a mode, to 1, where they say all.
    """

    log_spectrum: Float[Array, "shell row column"]
    centring: Float[Array, "shell row column"]


def field_data(
    tables: StarTables, l_deg: np.ndarray, b_deg: np.ndarray, group: np.ndarray, grid: FieldGrid
) -> FieldData:
    """Make the data of a field from the tables and positions of its stars."""
    corner, weight = grid.corners(l_deg, b_deg)
    shell, part = grid.shell_and_part(tables.modulus_mag)
    near, far = grid.modulus_edges_mag[0], grid.modulus_edges_mag[-1]
    return FieldData(
        table=jnp.asarray(tables.value.reshape(-1, tables.value.shape[-1])),
        corner=jnp.asarray(corner, jnp.int32),
        corner_weight=jnp.asarray(weight, jnp.float32),
        shell=jax.nn.one_hot(shell, grid.n_shells, dtype=jnp.float32),
        part=jnp.asarray(part, jnp.float32),
        travelled_mag=jnp.asarray(np.clip(tables.modulus_mag, near, far) - near, jnp.float32),
        group=jnp.asarray(group, jnp.int32),
        behind=jnp.asarray(
            (tables.modulus_mag.mean(axis=1)[:, None] > grid.modulus_edges_mag[1:]).mean(axis=0), jnp.float32
        ),
        level_start_mag=jnp.float32(tables.level_start_mag),
        wave_number=jnp.asarray(grid.wave_number(), jnp.float32),
    )


def log_density_map(
    white: Float[Array, "shell row column"], numbers: Numbers, log_power: Any, reference: Reference
) -> Float[Array, "shell row column"]:
    """Return the natural logarithm of the dust's density in every shell and cell, in mag per mag. Equations: ES11, ES14."""
    modes = jnp.exp(0.5 * log_power) * mixed_shells(centred(white, log_power, reference)[0], numbers.alike)
    # The mean of the density, not of its logarithm, is what stars know best.
    level = numbers.log_mean - 0.5 * numbers.log_scatter**2
    return jnp.minimum(level[:, None, None] + hartley(modes), _LOG_DENSITY_MAX)  # ES11


def centred(
    white: Float[Array, "shell row column"], log_power: Any, reference: Reference
) -> tuple[Float[Array, "shell row column"], Float[Array, "shell row column"]]:
    """Return standard normal modes from partly centred ones, and the logarithm of the factor between them. Equation: ES14."""
    shift = 0.5 * reference.centring * (reference.log_spectrum - log_power)  # ES14
    return white * jnp.exp(shift), shift


def mixed_shells(modes: Float[Array, "shell row column"], alike: Any) -> Float[Array, "shell row column"]:
    """Return modes that are correlated from shell to shell, from independent ones. Equation: ES12."""
    shell = jnp.arange(len(modes))
    apart = shell[:, None] - shell
    own = jnp.where(shell > 0, jnp.sqrt(1.0 - alike**2), 1.0)
    mix = jnp.where(apart >= 0, alike ** jnp.maximum(apart, 0), 0.0) * own  # ES12
    return jnp.einsum("kj,jrc->krc", mix, modes)


def ebv_at_edges(
    log_density: Float[Array, "shell row column"], shell_mag: float
) -> Float[Array, "cell edge"]:
    """Return E(B-V) of the dust out to every edge of the shells, a row for each cell. Equation: ES11. [mag]"""
    steps = shell_mag * jnp.exp(log_density).reshape(len(log_density), -1).T
    behind = jnp.cumsum(steps, axis=1)  # ES11
    return jnp.concatenate([jnp.zeros_like(behind[:, :1]), behind], axis=1)


def log_likelihoods(
    ebv_edges_mag: Float[Array, "star edge"], numbers: Numbers, data: FieldData
) -> Float[Array, " star"]:
    """Evaluate the log likelihood of every star for the dust in its direction. Equation: ES13."""
    share = share_in_front(data.part, data.shell @ numbers.place, data.shell @ numbers.thickness)
    level = jnp.einsum("snk,sk->sn", data.shell, ebv_edges_mag[:, :-1])
    level = level + share * jnp.einsum("snk,sk->sn", data.shell, jnp.diff(ebv_edges_mag, axis=1))  # ES11
    level = level + numbers.zero_point_mag[data.group][:, None] + numbers.drift * data.travelled_mag
    squares = jnp.asarray(np.array(SCATTERS_MAG) ** 2, jnp.float32)
    square = jnp.clip(numbers.scatter_mag**2, squares[0], squares[-1])
    lower = jnp.clip(jnp.searchsorted(squares, square, side="right") - 1, 0, len(squares) - 2)
    part = (square - squares[lower]) / (squares[lower + 1] - squares[lower])
    row = jnp.arange(level.size).reshape(level.shape) * len(squares) + lower
    n_levels = data.table.shape[1]
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
    flat = data.table.reshape(-1)
    inlier = jnp.zeros(level.shape)
    for side, of_side in ((0, 1.0 - part), (1, part)):
        for k, weight in enumerate(weights):
            inlier = inlier + of_side * weight * flat[(row + side) * n_levels + index + (k - 1)]
    whole = jnp.maximum(inlier.sum(axis=1), _TINY)
    return jnp.log((1.0 - numbers.outlier_share) * whole + numbers.outlier_share)  # ES13


def stars_edges(ebv_edges_mag: Float[Array, "cell edge"], data: FieldData) -> Float[Array, "star edge"]:
    """Return E(B-V) at the edges in every star's direction. [mag]"""
    return jnp.einsum("scj,sc->sj", ebv_edges_mag[data.corner], data.corner_weight)


def in_front_of_stars(
    z: Float[Array, " number"],
    white: Float[Array, "shell row column"],
    data: FieldData,
    reference: Reference,
    prior: FieldPrior,
    shell_mag: float,
) -> tuple[Numbers, Any, Float[Array, "star edge"]]:
    """Return the field's numbers, the logarithm of its modes' variances, and E(B-V) at the edges towards every star. [mag]"""
    numbers = numbers_of(z, prior, data.behind, shell_mag)
    log_power = log_spectrum(numbers, data.wave_number)
    cells = ebv_at_edges(log_density_map(white, numbers, log_power, reference), shell_mag)
    return numbers, log_power, stars_edges(cells, data)


def log_posterior(
    z: Float[Array, " number"],
    white: Float[Array, "shell row column"],
    data: FieldData,
    reference: Reference,
    prior: FieldPrior,
    shell_mag: float,
) -> Float[Array, ""]:
    """Evaluate the log posterior density in the coordinates that are sampled. Equations: ES11 to ES14."""
    numbers, log_power, edges = in_front_of_stars(z, white, data, reference, prior, shell_mag)
    stars = total(log_likelihoods(edges, numbers, data))
    return stars + log_prior_of_modes(white, log_power, reference) + log_prior_of_numbers(z, numbers, prior)


def log_prior_of_modes(
    white: Float[Array, "shell row column"], log_power: Any, reference: Reference
) -> Float[Array, ""]:
    """Evaluate the log prior density of the modes in partly centred coordinates. Equations: ES12, ES14."""
    modes, shift = centred(white, log_power, reference)
    return -0.5 * total(modes**2) + total(shift)  # ES12, ES14


def total(values: Float[Array, "..."]) -> Float[Array, ""]:
    """Return the sum of an array, axis by axis: one sum over all loses digits in single precision."""
    if values.ndim == 1 and values.size > 4096:
        values = jnp.pad(values, (0, -values.size % 256)).reshape(-1, 256)
    while values.ndim:
        values = values.sum(axis=-1)
    return values


def information(
    z: Float[Array, " number"],
    white: Float[Array, "shell row column"],
    data: FieldData,
    reference: Reference,
    prior: FieldPrior,
    shell_mag: float,
) -> Float[Array, " shell"]:
    """Estimate what the stars say of a unit white mode of the log density of each shell: the mean of squared scores."""
    numbers, _, edges = in_front_of_stars(z, white, data, reference, prior, shell_mag)
    slope = jax.grad(lambda e: total(log_likelihoods(e, numbers, data)))(edges)
    beyond = jnp.cumsum(slope[:, ::-1], axis=1)[:, ::-1][:, 1:]
    score = beyond * jnp.diff(edges, axis=1)
    return (score**2).sum(axis=0) / np.float32(white.shape[1] * white.shape[2])
