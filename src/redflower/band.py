"""A photometric band, and sets of bands in an order: vocabulary that a model carries with it."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from redflower.errors import InputError

System = Literal["Vega", "AB"]
#: The bands with which every set begins: G leads the flow, and BP - RP is the colour of the extinction law.
FIRST_BANDS: Final = ("gaia_g", "gaia_bp", "gaia_rp")


@dataclass(frozen=True)
class ExtinctionCoefficients:
    """R = A / E(B-V) of a band as Zhang & Yuan (2023) write it, with E(B-V) on the scale of Schlegel et al. (1998).

    Attributes
    ----------
    single : R of all stars alike.
    a, b, c, d, e, f : R = a Teff^3 + b Teff^2 + c Teff + d E^2 + e E + f, Teff in K and E in mag.
    teff_min_k, teff_max_k : range of the polynomial in Teff; beyond it R keeps its value at the edge. [K]
    """

    single: float
    a: float
    b: float
    c: float
    d: float
    e: float
    f: float
    teff_min_k: float
    teff_max_k: float


@dataclass(frozen=True)
class Band:
    """One photometric band of one survey, with the catalogue columns that hold it.

    Attributes
    ----------
    name : survey-qualified identifier, for instance ``ps1_g``.
    label : what figures and the output column ``bands`` print, for instance ``g``.
    survey : for instance ``gaia``, ``ps1`` or ``2mass``.
    magnitude_column : catalogue column of the apparent magnitude. [mag]
    error_column : catalogue column of the magnitude error [mag]; None where the survey gives fluxes (Gaia).
    flux_column, flux_error_column : columns of the flux and its error, in one unit; None without fluxes.
    system : magnitude system, ``Vega`` or ``AB``.
    error_floor_mag : systematic error added in quadrature to the catalogue's error. [mag]
    passband : the passband by its name in the Filter Profile Service of the Spanish Virtual Observatory.
    error_range_mag : errors that the emulator of the fast engine learns: floor to what is still worth using. [mag]
    extinction : published coefficients; None where there are none.
    magnitude_aliases, error_aliases : other names of the two columns.
    """

    name: str
    label: str
    survey: str
    magnitude_column: str
    error_column: str | None
    flux_column: str | None
    flux_error_column: str | None
    system: System
    error_floor_mag: float
    passband: str
    error_range_mag: tuple[float, float]
    extinction: ExtinctionCoefficients | None = None
    magnitude_aliases: tuple[str, ...] = ()
    error_aliases: tuple[str, ...] = ()

    def as_spec(self) -> dict[str, Any]:
        """Return the band as a dictionary of JSON values, as model files and tables keep it."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class BandSet:
    """Bands in an order, which is that of every axis called ``band``: the flow is triangular in it.

    Parameters
    ----------
    bands : G, BP and RP of Gaia first.

    Raises
    ------
    InputError
        If the set begins otherwise, or holds a band twice.

    Examples
    --------
    >>> from redflower.bands import STANDARD
    >>> STANDARD.leading(3).names
    ('gaia_g', 'gaia_bp', 'gaia_rp')
    >>> STANDARD.survey_ends
    {'gaia': 3, 'ps1': 8, '2mass': 11}
    """

    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        names = self.names
        first = FIRST_BANDS[: len(names)]
        if not names or names[: len(first)] != first:
            raise InputError(
                f"a set of bands must begin with {', '.join(FIRST_BANDS)}: G leads the flow, and BP - RP is the colour of the "
                f"extinction law. This one begins with {', '.join(names[:3]) or 'nothing'}."
            )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(
                f"a set of bands must hold each band once, of one release; {twice[0]} is there twice. Give one survey or "
                "release of it."
            )

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[Band]:
        return iter(self.bands)

    def __getitem__(self, place: int) -> Band:
        return self.bands[place]

    def __hash__(self) -> int:
        return hash(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the bands."""
        return tuple(band.name for band in self.bands)

    @property
    def labels(self) -> tuple[str, ...]:
        """What to print of each band: its label, or its name where two bands share the label."""
        labels = [band.label for band in self.bands]
        return tuple(b.label if labels.count(b.label) == 1 else b.name for b in self.bands)

    @property
    def index(self) -> dict[str, int]:
        """The place of each band by name."""
        return {name: i for i, name in enumerate(self.names)}

    @property
    def surveys(self) -> tuple[str, ...]:
        """The surveys in the order of their first bands."""
        return tuple(dict.fromkeys(band.survey for band in self.bands))

    @property
    def survey_ends(self) -> dict[str, int]:
        """How many leading bands there are up to the last of each survey."""
        return {band.survey: i + 1 for i, band in enumerate(self.bands)}

    def leading(self, n_bands: int) -> "BandSet":
        """Return the first bands."""
        if not 1 <= n_bands <= len(self.bands):
            raise ValueError(f"leading(n_bands) needs 1 <= n_bands <= {len(self.bands)}; got {n_bands}.")
        return self if n_bands == len(self.bands) else BandSet(self.bands[:n_bands])

    def begins(self, other: "BandSet") -> bool:
        """Tell whether this set is a leading part of another."""
        return self.bands == other.bands[: len(self.bands)]

    def with_bands(self, further: Iterable[Band]) -> "BandSet":
        """Return the set with further bands at its end."""
        return BandSet((*self.bands, *further))

    def shown(self, observed: Sequence[bool]) -> str:
        """Return the labels of the observed bands, separated by spaces, as in the output column ``bands``.

        Parameters
        ----------
        observed : of the first bands, or of all.
        """
        return " ".join(label for label, seen in zip(self.labels, observed, strict=False) if seen)

    def as_spec(self) -> list[dict[str, Any]]:
        """Return the bands as dictionaries of JSON values."""
        return [band.as_spec() for band in self.bands]


def band_from_spec(spec: Mapping[str, Any]) -> Band:
    """Return the band that `Band.as_spec` wrote.

    Raises
    ------
    TypeError, ValueError
        If an entry is absent, foreign or of another kind.
    """
    entries = dict(spec)
    coefficients = entries.pop("extinction")
    low, high = entries.pop("error_range_mag")
    entries["magnitude_aliases"] = tuple(map(str, entries["magnitude_aliases"]))
    entries["error_aliases"] = tuple(map(str, entries["error_aliases"]))
    band = Band(
        extinction=None if coefficients is None else ExtinctionCoefficients(**coefficients),
        error_range_mag=(float(low), float(high)), **entries,
    )  # fmt: skip
    texts = (band.name, band.label, band.survey, band.magnitude_column, band.system, band.passband)
    if not all(isinstance(text, str) and text for text in texts) or not band.error_floor_mag >= 0:
        raise ValueError(f"{spec!r:.200} is no band")
    return band
