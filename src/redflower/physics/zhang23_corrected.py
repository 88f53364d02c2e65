"""The law of Zhang & Yuan (2023) corrected by real stars: the default."""

import csv
import functools
import importlib.resources
from typing import Any, ClassVar, Final, NamedTuple, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from redflower.bands import STANDARD, BandSet
from redflower.physics._types import ScalarLike
from redflower.physics.extinction_laws import (
    ExtinctionLaw,
    Zhang23Law,
    effective_temperature_k,
    horner,
)

#: Range of the correction in temperature; beyond it the correction keeps its value at the edge. [K]
CORRECTION_TEFF_MIN_K: Final = 4000.0
CORRECTION_TEFF_MAX_K: Final = 8000.0


class Correction(NamedTuple):
    """What is added to the printed R, in float64, for bands in an order."""

    cubic: np.ndarray  #: about 6000 K in units of 1000 K, highest power first (4, band)
    error_teff_k: np.ndarray  #: temperatures at which the error is tabulated (node,)
    error: np.ndarray  #: one sigma of the corrected R relative to that of G (node, band)


@functools.cache
def zhang23_correction(bands: BandSet = STANDARD) -> Correction:
    """Read the packaged correction of some bands, once.

    Parameters
    ----------
    bands : in their order. Of a band without a correction nothing is known: it gets zeros.

    Returns
    -------
    The cubics and their errors, as `scripts/derive_extinction_correction.py` wrote them.
    """
    text = importlib.resources.files("redflower").joinpath("data/zhang23_correction.csv").read_text("utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    nodes = [name for name in rows[0] if name.startswith("error_")]
    by_band = {row["band"]: row for row in rows}
    rows = [by_band.get(name, dict.fromkeys(rows[0], "0")) for name in bands.names]
    return Correction(
        cubic=np.array([[float(row[f"d{power}"]) for row in rows] for power in (3, 2, 1, 0)]),
        error_teff_k=np.array([float(name.removeprefix("error_")) for name in nodes]),
        error=np.array([[float(row[name]) for row in rows] for name in nodes]),
    )


@final
class Zhang23CorrectedLaw(ExtinctionLaw):
    """The law of Zhang & Yuan (2023) with a correction measured on real stars: the default.

    Equation: EP9 (docs/explanation/model.md). The correction is a cubic in the temperature, from stars of Green et al. (2021)
    with spectra (decision 19). R of G and R_BP - R_RP are those of `Zhang23Law`, and so is where it is in range.
    """

    name: ClassVar[str] = "zhang23-corrected"
    bands: BandSet = eqx.field(static=True, default=STANDARD)

    def __check_init__(self) -> None:
        Zhang23Law(self.bands)

    def coefficients(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Float[Array, " band"]:
        teff_k = jnp.clip(effective_temperature_k(bp_rp_mag), CORRECTION_TEFF_MIN_K, CORRECTION_TEFF_MAX_K)
        correction = horner(tuple(zhang23_correction(self.bands).cubic), (teff_k - 6000.0) / 1000.0)
        return Zhang23Law(self.bands).coefficients(ebv_mag, bp_rp_mag) + correction  # EP9

    def in_range(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Bool[Array, " band"]:
        return Zhang23Law(self.bands).in_range(ebv_mag, bp_rp_mag)

    def coefficient_error(self, bp_rp_mag: ScalarLike) -> Float[Array, " band"]:
        """Return one sigma of R of every band relative to that of G, at an intrinsic colour; common to all stars.

        Parameters
        ----------
        bp_rp_mag : intrinsic BP-RP. [mag]

        Returns
        -------
        The error of the correction: of the stars behind it, of the maps of their reddening, and of the cubic's form. What G and
        BP - RP themselves are wrong by is not in it. Posteriors do not know of it.

        Examples
        --------
        >>> error = Zhang23CorrectedLaw().coefficient_error(0.82)
        >>> error.shape, bool(error[0] == 0)
        ((11,), True)
        """
        correction = zhang23_correction(self.bands)
        nodes_k, error = correction.error_teff_k, correction.error
        teff_k = effective_temperature_k(bp_rp_mag)
        return jnp.stack([jnp.interp(teff_k, nodes_k, column) for column in error.T])

    def of_bands(self, bands: BandSet) -> "Zhang23CorrectedLaw":
        return Zhang23CorrectedLaw(bands)

    def to_spec(self) -> dict[str, Any]:
        return {"name": self.name}
