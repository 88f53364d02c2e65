"""The matrices that turn coefficients into fluxes in passbands, as GaiaXPy ships them.

GaiaXPy (DPAC; BSD-3) has them as files. They are read without importing it, which takes seconds and asks for much that is not
needed here. What it computes from them, tests compare with `gaiaxpy.generate`.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from redflower.errors import InputError

#: The instrument model of the matrices, as GaiaXPy's default.
_MODEL: Final = "v375wiv142r"
#: The bases that the matrices of that model are for: the archive's numbers in Gaia DR3.
DR3_BASES: Final = {"bp": 56, "rp": 57}


@dataclass(frozen=True)
class SystemMatrices:
    """The bands of one photometric system of GaiaXPy.

    Attributes
    ----------
    system : its name in GaiaXPy's files, for instance ``HstWfc3uvis``.
    bands : their names there.
    design : of each photometer, (band, coefficient); a row of nought means that the photometer sees nothing of the band.
    flux_bias : what standardised systems add to a flux. [W m^-2 nm^-1 or W m^-2 Hz^-1]
    zero_point_mag : the magnitude of a flux of one. [mag]
    """

    system: str
    bands: tuple[str, ...]
    design: dict[str, Float[np.ndarray, "band basis"]]
    flux_bias: Float[np.ndarray, " band"]
    zero_point_mag: Float[np.ndarray, " band"]

    def choose(self, bands: Sequence[str]) -> "SystemMatrices":
        """Return the matrices of some bands, in the order given.

        Raises
        ------
        InputError
            If the system has no such band.
        """
        unknown = [band for band in bands if band not in self.bands]
        if unknown:
            raise InputError(
                f"spectra: {self.system} has no band {unknown[0]!r}; it has {', '.join(self.bands)}."
            )
        places = [self.bands.index(band) for band in bands]
        return SystemMatrices(
            system=self.system, bands=tuple(bands), design={p: d[places] for p, d in self.design.items()},
            flux_bias=self.flux_bias[places], zero_point_mag=self.zero_point_mag[places],
        )  # fmt: skip


@dataclass(frozen=True)
class ErrorFactors:
    """Published factors by which the errors of synthetic fluxes are too small, in bins of G.

    Source: Montegriffo et al. (2023), A&A 674, A33, as GaiaXPy tabulates them.

    Attributes
    ----------
    edges_mag : of the bins in G, rising. [mag]
    factor : (bin, band).
    """

    edges_mag: Float[np.ndarray, " edge"]
    factor: Float[np.ndarray, "bin band"]

    def __call__(self, g_mag: Float[np.ndarray, " star"]) -> Float[np.ndarray, "star band"]:
        """Return the factors at magnitudes: a bin's own up to its middle, then on a line to the next bin's; a star without G
        gets those of the faintest bin, as in GaiaXPy.
        """
        low, high = self.edges_mag[:-1], self.edges_mag[1:]
        g = np.where(np.isnan(g_mag), np.inf, g_mag)
        place = np.clip(np.searchsorted(low, g, side="right") - 1, 0, len(low) - 1)
        after = np.minimum(place + 1, len(low) - 1)
        middle = 0.5 * (low + high)[place]
        share = np.clip((np.minimum(g, high[place]) - middle) / (high[place] - middle), 0.0, 1.0)[:, None]
        return (1.0 - share) * self.factor[place] + share * self.factor[after]


def library_version() -> str:
    """Return the version of GaiaXPy.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return version("gaiaxpy")
    except PackageNotFoundError:
        raise InputError(
            "spectra need the matrices of GaiaXPy, which is not installed: pip install 'redflower[spectra]'."
        ) from None


def system_matrices(system: str) -> SystemMatrices:
    """Return the matrices of a photometric system.

    Parameters
    ----------
    system : its name in GaiaXPy's files, such as ``HstWfc3uvis``, ``Jplus``, ``Panstarrs1Std``.

    Raises
    ------
    InputError
        If GaiaXPy is not installed, or has no such system.
    """
    library_version()
    return _system(system)


def error_factors(system: str, bands: Sequence[str]) -> ErrorFactors:
    """Return the published factors of errors in some bands of a system.

    Raises
    ------
    InputError
        If none are published.
    """
    library_version()
    path = _folder() / "correction_tables" / f"DIDREQ-465-{system}-correction-factors.csv"
    if not path.is_file():
        raise InputError(
            f"spectra: no error factors are published for {system}. Take the formal errors: --errors formal."
        )
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    edges = [float(row["min_Gmag_bin"]) for row in rows] + [float(rows[-1]["max_Gmag_bin"])]
    factor = [[float(row[f"factor_{band}"]) for band in bands] for row in rows]
    return ErrorFactors(np.array(edges), np.array(factor))


@cache
def _folder() -> Path:
    found = find_spec("gaiaxpy")
    places = (found.submodule_search_locations or []) if found else []
    if not places:
        raise InputError("spectra: GaiaXPy is installed without its files; install it again.")
    return Path(places[0]) / "config"


@cache
def _system(system: str) -> SystemMatrices:
    path = _folder() / "filters" / f"XpFilter_{system}_{_MODEL}.xml"
    if not path.is_file():
        known = sorted(
            name.split("_")[1]
            for name in (file.name for file in path.parent.glob(f"XpFilter_*_{_MODEL}.xml"))
        )
        raise InputError(f"spectra: GaiaXPy has no system {system!r}; it has {', '.join(known) or 'none'}.")
    root = ElementTree.parse(path).getroot()

    def texts(*tags: str) -> list[str]:
        element = root
        for tag in tags:
            found = element.find(tag)
            if found is None:
                raise InputError(
                    f"spectra: {path.name} of GaiaXPy {library_version()} has no {tag}; its form has changed. Versions "
                    "from 2.1.5 on are known to do."
                )
            element = found
        return [str(child.text) for child in element]

    bands = tuple(texts("bands"))
    design = {}
    for photometer in ("bp", "rp"):
        values = np.array(texts("XpSampling", f"{photometer}SampledBases"), dtype=np.float64)
        weight = np.array(texts("XpMerge", f"{photometer}Weights"), dtype=np.float64)
        design[photometer] = values.reshape(len(bands), -1) * weight[:, None]
    return SystemMatrices(
        system=system, bands=bands, design=design, flux_bias=np.array(texts("fluxBias"), dtype=np.float64),
        zero_point_mag=np.array(texts("zeropoints"), dtype=np.float64),
    )  # fmt: skip
