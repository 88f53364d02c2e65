"""Extinction laws: coefficients R = A / E(B-V) of every band, by colour and reddening."""

import abc
import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float

from redflower.bands import STANDARD, BandSet
from redflower.errors import InputError
from redflower.physics._types import ScalarLike

#: Teff in K as a polynomial of the intrinsic BP-RP, highest power first. Zhang & Yuan (2023), public code
#: `extinction_coefficient` 1.8, `Teff_BPRP0_coeff`.
TEFF_POLYNOMIAL_K: Final = (1187.26193963, -4925.6478914, 8268.06749031, -9038.59055765, 9693.00903561)
#: Reddest intrinsic BP-RP of that relation; redder stars get `TEFF_REDDEST_K`. Same source.
BP_RP_MAX_MAG: Final = 1.61
TEFF_REDDEST_K: Final = 4000.0
#: Bluest intrinsic BP-RP at which the relation is evaluated. It gives 10685 K there, hotter than the range of
#: every band, and quickly grows without bound towards bluer colours (docs/explanation/model.md, D6). [mag]
BP_RP_MIN_MAG: Final = -0.1
#: Range of E(B-V) of the coefficients of Zhang & Yuan (2023). [mag]
EBV_COEFFICIENT_MIN_MAG: Final = 0.0
EBV_COEFFICIENT_MAX_MAG: Final = 0.5
_TEFF_PIVOT_K: Final = 6000.0
_TEFF_UNIT_K: Final = 1000.0


def effective_temperature_k(bp_rp_intrinsic_mag: ScalarLike) -> Float[Array, ""]:
    """Return the effective temperature of a star from its colour free of reddening.

    Equation: EP5 (docs/explanation/model.md). Source: the public code of Zhang & Yuan (2023), a polynomial of fourth
    degree; 4000 K beyond BP-RP = 1.61.

    Parameters
    ----------
    bp_rp_intrinsic_mag : intrinsic BP-RP. Below `BP_RP_MIN_MAG` it acts as that. [mag]

    Returns
    -------
    Effective temperature, 3993 to 10685 K. [K]
    """
    colour_mag = jnp.clip(bp_rp_intrinsic_mag, BP_RP_MIN_MAG, BP_RP_MAX_MAG)  # D6
    temperature_k = horner(TEFF_POLYNOMIAL_K, colour_mag)
    # The polynomial ends at 3993.6 K. The step to 4000 K is invisible in R, whose range begins at 4000 K.
    return jnp.where(bp_rp_intrinsic_mag > BP_RP_MAX_MAG, TEFF_REDDEST_K, temperature_k)  # EP5


class ExtinctionLaw(eqx.Module):
    """How the extinction of every band follows from reddening and intrinsic colour.

    A law has no array leaves: it is a constant of the model, hashable, and never trained by accident. Values
    are R = A / E(B-V) in the order of the law's own bands.
    """

    #: Word that names the kind of law in a model file.
    name: ClassVar[str]
    #: The bands of its coefficients; the model's are a leading part of them.
    bands: eqx.AbstractVar[BandSet]

    @abc.abstractmethod
    def coefficients(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Float[Array, " band"]:
        """Return R of every band at a reddening and an *intrinsic* BP-RP; dimensionless."""

    @abc.abstractmethod
    def in_range(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Bool[Array, " band"]:
        """Tell whether each band's coefficient is published there, rather than taken from the nearest edge."""

    @abc.abstractmethod
    def of_bands(self, bands: BandSet) -> "ExtinctionLaw":
        """Return the same law for other bands.

        Raises
        ------
        InputError
            If it has no coefficient of one of them.
        """

    @abc.abstractmethod
    def to_spec(self) -> dict[str, Any]:
        """Return the law as a dictionary of JSON values, from which `redflower.physics.make_law` makes it again."""


class Zhang23Table(NamedTuple):
    """The published table of Zhang & Yuan (2023) in float64, for bands in an order."""

    single: np.ndarray  #: R for all stars alike (band,)
    polynomial: np.ndarray  #: a, b, c, f of the cubic in Teff/K (band, 4)
    ebv_quadratic: np.ndarray  #: d (band,)
    ebv_linear: np.ndarray  #: e (band,)
    teff_min_k: np.ndarray  #: (band,)
    teff_max_k: np.ndarray  #: (band,)


@functools.cache
def zhang23_table(bands: BandSet = STANDARD) -> Zhang23Table:
    """Return the coefficients of some bands as a table, made once.

    Raises
    ------
    InputError
        If a band has none.
    """
    lacking = [band.name for band in bands if band.extinction is None]
    if lacking:
        raise InputError(
            f"no extinction coefficient of {', '.join(lacking)} is at hand: Zhang & Yuan (2023) have none, and the survey's file "
            "states none. Give [bands.extinction] in a survey file, or numbers for all bands by --law FILE."
        )

    def column(name: str) -> np.ndarray:
        return np.array([getattr(band.extinction, name) for band in bands])

    return Zhang23Table(
        single=column("single"),
        polynomial=np.stack([column(name) for name in "abcf"], axis=-1),
        ebv_quadratic=column("d"),
        ebv_linear=column("e"),
        teff_min_k=column("teff_min_k"),
        teff_max_k=column("teff_max_k"),
    )


@functools.cache
def _zhang23_shifted(bands: BandSet) -> np.ndarray:
    """Expand the cubics about 6000 K in units of 1000 K, in float64: (4, band), highest power first.

    In powers of Teff/K the terms reach 100 and cancel to 3; about the pivot none exceeds 5.
    """
    shift = np.poly1d([_TEFF_UNIT_K, _TEFF_PIVOT_K])
    shifted = np.zeros((4, len(bands)))
    for band, cubic in enumerate(zhang23_table(bands).polynomial):
        powers = np.poly1d(cubic)(shift).coefficients  # leading zeros are dropped
        shifted[4 - len(powers) :, band] = powers
    return shifted


@final
class Zhang23Law(ExtinctionLaw):
    """The empirical law of Zhang & Yuan (2023) as printed: R falls with reddening and changes with temperature.

    Real stars disagree with it in some bands: `redflower.physics.Zhang23CorrectedLaw` is the default.

    Equation: EP4 (docs/explanation/model.md). Source: Zhang & Yuan 2023, ApJS 264, 14. E(B-V) is on the scale of Schlegel
    et al. (1998). Outside 0 to 0.5 mag, and outside each band's range of Teff, R keeps its value at the edge,
    and `in_range` says so (D3; docs/decisions/0002-extinction-law-float32-and-clipping.md).
    """

    name: ClassVar[str] = "zhang23"
    bands: BandSet = eqx.field(static=True, default=STANDARD)

    def __check_init__(self) -> None:
        zhang23_table(self.bands)

    def coefficients(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Float[Array, " band"]:
        table = zhang23_table(self.bands)
        ebv_clipped_mag = jnp.clip(ebv_mag, EBV_COEFFICIENT_MIN_MAG, EBV_COEFFICIENT_MAX_MAG)  # D3
        teff_k = jnp.clip(
            effective_temperature_k(bp_rp_mag), jnp.asarray(table.teff_min_k), jnp.asarray(table.teff_max_k)
        )
        of_teff = horner(tuple(_zhang23_shifted(self.bands)), (teff_k - _TEFF_PIVOT_K) / _TEFF_UNIT_K)
        of_ebv = horner((table.ebv_quadratic, table.ebv_linear, np.zeros(len(self.bands))), ebv_clipped_mag)
        return of_teff + of_ebv  # EP4

    def in_range(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Bool[Array, " band"]:
        table = zhang23_table(self.bands)
        teff_k = effective_temperature_k(bp_rp_mag)
        star = (
            (ebv_mag >= jnp.asarray(EBV_COEFFICIENT_MIN_MAG))
            & (ebv_mag <= jnp.asarray(EBV_COEFFICIENT_MAX_MAG))
            & (bp_rp_mag <= jnp.asarray(BP_RP_MAX_MAG))
        )
        return (
            star & (teff_k >= jnp.asarray(table.teff_min_k)) & (teff_k <= jnp.asarray(table.teff_max_k))
        )  # D3

    def of_bands(self, bands: BandSet) -> "Zhang23Law":
        return Zhang23Law(bands)

    def to_spec(self) -> dict[str, Any]:
        return {"name": self.name}


@final
class ConstantLaw(ExtinctionLaw):
    """One coefficient per band for every star and every reddening.

    Parameters
    ----------
    coefficients : R = A / E(B-V) of every band, >= 0.
    bands : the bands in their order. Defaults to the standard ones, `redflower.bands.STANDARD`.
    """

    name: ClassVar[str] = "constant"
    values: tuple[float, ...] = eqx.field(static=True)
    bands: BandSet = eqx.field(static=True)

    def __init__(self, coefficients: npt.ArrayLike, bands: BandSet = STANDARD):
        self.values = _band_row(coefficients, bands, "ConstantLaw(coefficients)")
        self.bands = bands

    def coefficients(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Float[Array, " band"]:
        return jnp.asarray(self.values)

    def in_range(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Bool[Array, " band"]:
        return jnp.ones(len(self.bands), bool)

    def of_bands(self, bands: BandSet) -> "ConstantLaw":
        return ConstantLaw([self.values[i] for i in _places(self.bands, bands)], bands)

    def to_spec(self) -> dict[str, Any]:
        return {"name": self.name, "coefficients": list(self.values)}


@final
class TableLaw(ExtinctionLaw):
    """A user's table of coefficients against intrinsic BP-RP: linear between rows, constant beyond the ends.

    Parameters
    ----------
    bp_rp_mag : intrinsic BP-RP of the rows, strictly rising, at least two. [mag]
    coefficients : R = A / E(B-V) >= 0, a row per colour and a column per band.
    bands : the bands in their order. Defaults to the standard ones, `redflower.bands.STANDARD`.
    """

    name: ClassVar[str] = "table"
    nodes_mag: tuple[float, ...] = eqx.field(static=True)
    values: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    bands: BandSet = eqx.field(static=True)

    def __init__(
        self,
        bp_rp_mag: npt.ArrayLike,
        coefficients: Sequence[npt.ArrayLike] | np.ndarray | Array,
        bands: BandSet = STANDARD,
    ):
        nodes = _floats(bp_rp_mag, "TableLaw(bp_rp_mag)")
        if nodes.ndim != 1 or len(nodes) < 2 or not np.all(np.diff(nodes) > 0):
            raise InputError(
                "TableLaw(bp_rp_mag) needs at least two colours in strictly rising order; "
                f"got {nodes.tolist()}. Sort the table by BP-RP and drop repeated rows."
            )
        rows = list(coefficients)
        if len(rows) != len(nodes):
            raise InputError(
                f"TableLaw(coefficients) needs one row per colour, {len(nodes)}; got {len(rows)} rows."
            )
        self.nodes_mag = tuple(nodes.tolist())
        self.values = tuple(
            _band_row(row, bands, f"TableLaw(coefficients), row {i}") for i, row in enumerate(rows)
        )
        self.bands = bands

    def coefficients(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Float[Array, " band"]:
        nodes_mag = jnp.asarray(self.nodes_mag)
        return jax.vmap(jnp.interp, in_axes=(None, None, 1))(
            jnp.asarray(bp_rp_mag), nodes_mag, jnp.asarray(self.values)
        )

    def in_range(self, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Bool[Array, " band"]:
        inside = (bp_rp_mag >= jnp.asarray(self.nodes_mag[0])) & (
            bp_rp_mag <= jnp.asarray(self.nodes_mag[-1])
        )
        return jnp.broadcast_to(inside, (len(self.bands),))

    def of_bands(self, bands: BandSet) -> "TableLaw":
        places = _places(self.bands, bands)
        return TableLaw(self.nodes_mag, [[row[i] for i in places] for row in self.values], bands)

    def to_spec(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "bp_rp_mag": list(self.nodes_mag),
            "coefficients": [list(row) for row in self.values],
        }


def horner(powers: Sequence[Any], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Evaluate a polynomial by Horner's scheme, highest power first, in the precision of x."""
    total = jnp.asarray(powers[0], dtype=x.dtype)
    for power in powers[1:]:
        total = total * x + jnp.asarray(power, dtype=x.dtype)
    return total


def _floats(values: Any, what: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} needs numbers; got {values!r}.") from error
    if not np.all(np.isfinite(numbers)):
        raise InputError(f"{what} needs finite numbers; got {numbers.tolist()}.")
    return numbers


def _places(have: BandSet, wanted: BandSet) -> list[int]:
    """Return the places of bands among those that a law of numbers has."""
    lacking = [name for name in wanted.names if name not in have.index]
    if lacking:
        raise InputError(
            f"the extinction law has a coefficient for each of {' '.join(have.labels)}, and none for {', '.join(lacking)}. Give "
            "one for every band of the model."
        )
    return [have.index[name] for name in wanted.names]


def _band_row(values: Any, bands: BandSet, what: str) -> tuple[float, ...]:
    """Return one coefficient per band, checked."""
    numbers = _floats(values, what)
    labels = " ".join(bands.labels)
    if numbers.shape != (len(bands),):
        raise InputError(
            f"{what} needs {len(bands)} numbers, R of {labels} in this order; "
            f"got an array of shape {numbers.shape}."
        )
    if np.any(numbers < 0.0):
        band = bands[int(np.argmin(numbers))]
        raise InputError(
            f"{what} needs R >= 0 in every band; got {min(numbers):g} for {band.name}. "
            "R is extinction per reddening, A / E(B-V), not a colour excess."
        )
    return tuple(numbers.tolist())
