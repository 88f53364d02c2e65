"""The grid of a dust field: square cells on a flat patch of the sky, times shells of distance modulus."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.fft import next_fast_len

from redflower.distances import distance_from_modulus
from redflower.sky_patch import SIZE_MAX_DEG, SkyPatch

#: Width of a shell by default: 20 % in distance. [mag]
SHELL_MAG: Final = 0.4
#: Stars a cell by default, and the limits between which cells then lie. [deg]
STARS_PER_CELL: Final = 1.5
CELL_LIMITS_DEG: Final = (0.05, 1.0)
#: The grid wraps around. It is wider than the patch by this share, so that opposite borders know little of each other.
_MARGIN: Final = 0.25


@dataclass(frozen=True)
class FieldGrid:
    """Cells on the sky and shells of distance.

    Attributes
    ----------
    patch : holds the stars and a cell on each side of them, in the middle of the grid.
    cell_deg : side of a cell. [deg]
    n_cells : along a side of the grid, margin included.
    modulus_edges_mag : edges of the shells. [mag]
    """

    patch: SkyPatch
    cell_deg: float
    n_cells: int
    modulus_edges_mag: Float[np.ndarray, " edge"]

    @property
    def n_shells(self) -> int:
        """Number of shells."""
        return len(self.modulus_edges_mag) - 1

    @property
    def shell_mag(self) -> float:
        """Width of the shells in distance modulus. [mag]"""
        return float(self.modulus_edges_mag[1] - self.modulus_edges_mag[0])

    @property
    def edges_pc(self) -> Float[np.ndarray, " edge"]:
        """Edges of the shells. [pc]"""
        return distance_from_modulus(self.modulus_edges_mag)

    def wave_number(self) -> Float[np.ndarray, "row column"]:
        """Return the wave number of every mode of the grid. [rad/deg]"""
        q = 2.0 * np.pi * np.fft.fftfreq(self.n_cells, self.cell_deg)
        return np.hypot(q[:, None], q[None, :])

    def corners(
        self, l_deg: Float[np.ndarray, " n"], b_deg: Float[np.ndarray, " n"]
    ) -> tuple[np.ndarray, Float[np.ndarray, "n corner"]]:
        """Return the four cells about each direction and their weights, which make the field linear between cell centres.

        Cells are numbered row by row.
        """
        x, y = self.patch.to_plane(l_deg, b_deg)
        at = [axis / self.cell_deg + (self.n_cells - 1) / 2.0 for axis in (y, x)]
        low = [np.clip(np.floor(a).astype(np.int64), 0, self.n_cells - 2) for a in at]
        part = [np.clip(a - i, 0.0, 1.0) for a, i in zip(at, low, strict=True)]
        index, weight = [], []
        for row in (0, 1):
            for column in (0, 1):
                index.append((low[0] + row) * self.n_cells + low[1] + column)
                weight.append((part[0] if row else 1.0 - part[0]) * (part[1] if column else 1.0 - part[1]))
        return np.stack(index, axis=-1), np.stack(weight, axis=-1)

    def place(self, modulus_mag: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return how far distance moduli lie beyond the first edge, in units of a shell's width."""
        return (modulus_mag - self.modulus_edges_mag[0]) / self.shell_mag


def make_field_grid(
    patch: SkyPatch,
    n_stars: int,
    modulus_range_mag: tuple[float, float],
    *,
    cell_deg: float | None = None,
    shell_mag: float = SHELL_MAG,
) -> FieldGrid:
    """Make the grid for a number of stars on a patch.

    Parameters
    ----------
    patch : that holds the stars.
    n_stars : on it.
    modulus_range_mag : distance moduli that the shells span. [mag]
    cell_deg : side of a cell. If None, so that a cell has 1.5 stars in the mean. [deg]
    shell_mag : width of a shell, about which the range is divided evenly. [mag]
    """
    if cell_deg is None:
        cell_deg = float(
            np.clip(patch.size_deg * np.sqrt(STARS_PER_CELL / max(n_stars, 1)), *CELL_LIMITS_DEG)
        )
    # No star on the border: the pixels that hold the outermost stars reach beyond them.
    patch = replace(patch, size_deg=min(patch.size_deg + 2.0 * cell_deg, SIZE_MAX_DEG))
    n_inside = max(int(np.ceil(patch.size_deg / cell_deg)) + 1, 4)
    n_cells = next_fast_len(int(np.ceil((1.0 + _MARGIN) * n_inside)), real=True)
    n_cells += n_cells % 2
    low, high = modulus_range_mag
    n_shells = max(2, round((high - low) / shell_mag))
    return FieldGrid(patch, cell_deg, n_cells, np.linspace(low, high, n_shells + 1))
