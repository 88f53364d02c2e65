"""Mock dust over a field of the sky: sheets whose reddening varies as the exponential of a random field of known spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from redflower.errors import InputError
from redflower.seeds import check_seed
from redflower.sky_patch import SkyPatch

#: Cells along a side of a sheet's map; the field is drawn twice as wide, so that opposite borders know nothing of each other.
_N_CELLS: Final = 256


@dataclass(frozen=True)
class DustSheet:
    r"""A thin sheet of dust: E(B-V) = mean exp(g - var / 2), with a normal field g of the spectrum (1 + (q length)^2)^(-slope/2).

    Attributes
    ----------
    distance_pc : of the sheet. [pc]
    ebv_mag : mean E(B-V). [mag]
    log_scatter : standard deviation of g: 0 is a smooth sheet.
    length_deg : scale above which g is uncorrelated, for wave numbers q in radians per degree. [deg]
    slope : of the spectrum at small scales.
    """

    distance_pc: float
    ebv_mag: float
    log_scatter: float
    length_deg: float
    slope: float = 3.0

    def __post_init__(self) -> None:
        if not (self.distance_pc > 0 and self.ebv_mag >= 0 and self.log_scatter >= 0 and self.length_deg > 0):
            raise InputError(
                "DustSheet needs distance_pc > 0, ebv_mag >= 0, log_scatter >= 0 and length_deg > 0; "
                f"got {self.distance_pc}, {self.ebv_mag}, {self.log_scatter} and {self.length_deg}."
            )


@dataclass(frozen=True)
class DustField:
    """Sheets of dust over a patch, one drawn realisation.

    Attributes
    ----------
    patch : the patch of the sky.
    sheets : their distances and statistics.
    maps_mag : E(B-V) of each sheet at the centres of cells, first axis along b, second along l. [mag]
    seed : with which they were drawn.
    """

    patch: SkyPatch
    sheets: tuple[DustSheet, ...]
    maps_mag: Float[np.ndarray, "sheet row column"]
    seed: int

    def ebv_mag(
        self,
        l_deg: Float[np.ndarray, " n"],
        b_deg: Float[np.ndarray, " n"],
        distance_pc: "Float[np.ndarray, ' n'] | float",
    ) -> Float[np.ndarray, " n"]:
        """Return the true E(B-V) out to a distance in given directions. [mag]"""
        x, y = self.patch.to_plane(l_deg, b_deg)
        n = self.maps_mag.shape[-1]
        at = [(axis / self.patch.size_deg + 0.5) * n - 0.5 for axis in (y, x)]
        total = np.zeros(len(x))
        for sheet, values in zip(self.sheets, self.maps_mag, strict=True):
            here = map_coordinates(values, at, order=1, mode="nearest")
            total += np.where(np.asarray(distance_pc) > sheet.distance_pc, here, 0.0)
        return total


def field_spectrum(
    wave_number: Float[np.ndarray, "row column"], length_deg: float, slope: float
) -> Float[np.ndarray, "row column"]:
    """Return the spectrum of a sheet's field up to a constant; nothing at wave number 0.

    Parameters
    ----------
    wave_number : in radians per degree.
    length_deg, slope : as in `DustSheet`.
    """
    shape = (1.0 + (wave_number * length_deg) ** 2) ** (-slope / 2.0)
    return np.where(wave_number > 0, shape, 0.0)


def draw_dust_field(patch: SkyPatch, sheets: Sequence[DustSheet], *, seed: int) -> DustField:
    """Draw the dust of a patch.

    Parameters
    ----------
    patch : the patch of the sky.
    sheets : of dust, in any order.
    seed : of the random numbers.
    """
    rng = np.random.default_rng(check_seed(seed))
    n = 2 * _N_CELLS
    cell_deg = patch.size_deg / _N_CELLS
    q = 2.0 * np.pi * np.fft.fftfreq(n, cell_deg)
    wave_number = np.hypot(q[:, None], q[None, :])
    maps = []
    for sheet in sheets:
        spectrum = field_spectrum(wave_number, sheet.length_deg, sheet.slope)
        white = np.fft.fft2(rng.standard_normal((n, n)))
        # Of the expected variance sheet.log_scatter^2; a realisation has its own.
        field = np.fft.ifft2(white * np.sqrt(spectrum / spectrum.mean())).real[:_N_CELLS, :_N_CELLS]
        maps.append(sheet.ebv_mag * np.exp(sheet.log_scatter * field - sheet.log_scatter**2 / 2.0))
    stacked = np.array(maps).reshape(len(maps), _N_CELLS, _N_CELLS)
    return DustField(patch, tuple(sheets), stacked, seed)
