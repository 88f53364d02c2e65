"""Reading the file that describes a survey: every entry is checked, and every fault is one message.

What each entry means is said at the head of ``data/surveys/gaia.toml``.
"""

import csv
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, get_args

from redflower.band import Band, ExtinctionCoefficients, System
from redflower.entries import in_a_line, list_of, number_of, path_within, section, text_of, texts_of
from redflower.errors import InputError
from redflower.survey import BandCut, CutKind, SpectraSource, Survey

#: The basis of every extinction coefficient: A / E(B-V), with E(B-V) on this scale.
EBV_BASIS: Final = "E(B-V), Schlegel et al. 1998"
#: Passbands that redflower knows, by their names in the Filter Profile Service, with the system of their surveys' catalogues.
PASSBANDS: Final[dict[str, System]] = {
    **{f"GAIA/GAIA3.{band}": "Vega" for band in ("G", "Gbp", "Grp")},
    **{f"PAN-STARRS/PS1.{band}": "AB" for band in "grizy"},
    **{f"2MASS/2MASS.{band}": "Vega" for band in ("J", "H", "Ks")},
    **{f"WISE/WISE.{band}": "Vega" for band in ("W1", "W2", "W3", "W4")},
    **{f"SLOAN/SDSS.{band}": "AB" for band in "ugriz"},
    **{f"SkyMapper/SkyMapper.{band}": "AB" for band in "uvgriz"},
    **{f"CTIO/DECam.{band}": "AB" for band in "ugrizY"},
    **{f"GALEX/GALEX.{band}": "AB" for band in ("FUV", "NUV")},
    **{
        f"HST/WFC3_UVIS1.{band}": "Vega"
        for band in ["F390M", "F410M", "F438W", "F467M", "F502N", "F547M", "F621M", "F689M", "F763M", "F845M"]
    },
}


def published_coefficients() -> dict[str, ExtinctionCoefficients]:
    """Return the coefficients of Zhang & Yuan (2023) by the name of the band, with the bands of no survey here among them."""
    return dict(_published())


@cache
def _published() -> dict[str, ExtinctionCoefficients]:
    text = (resources.files("redflower") / "data" / "zhang23_extinction.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        row["band"]: ExtinctionCoefficients(
            single=float(row["r_single"]), **{name: float(row[name]) for name in "abcdef"},
            teff_min_k=float(row["teff_min_k"]), teff_max_k=float(row["teff_max_k"]),
        )
        for row in rows
    }  # fmt: skip


def make_survey(content: Mapping[str, Any], name: str, where: str, folder: Path = Path()) -> Survey:
    """Make a survey of what its file says.

    Parameters
    ----------
    content : of the file.
    name : what options call it.
    where : how messages call the file.
    folder : from which the names of its passband tables count.

    Raises
    ------
    InputError
        If an entry is absent or unknown, a passband is unknown, a magnitude system is not that of the passband, an error is one
        of fluxes, or an extinction coefficient is of another basis.
    """
    entries = section(content, _SURVEY_KEYS, {"survey", "release", "title", "source", "bands"}, where)
    said = {key: text_of(entries[key], f"{where}: {key}") for key in ("survey", "release", "title", "source")}
    bands = tuple(
        _band(band, said["survey"], f"{where}, [[bands]] {i + 1}")
        for i, band in enumerate(list_of(entries["bands"], f"{where}: bands"))
    )
    if not bands:
        raise InputError(f"{where}: a survey must have at least one of [[bands]].")
    for key in ("name", "magnitude_column"):
        values = [getattr(band, key) for band in bands]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise InputError(
                f"{where}: two [[bands]] have the {key.removesuffix('_column')} {twice[0]!r}; each needs its own."
            )
    cuts = tuple(
        _cut(cut, bands, f"{where}, [[cuts]] {i + 1}")
        for i, cut in enumerate(list_of(entries.get("cuts", ()), f"{where}: cuts"))
    )
    return Survey(
        name=name, **said, bands=bands, cuts=cuts,
        draft=text_of(entries.get("draft", ""), f"{where}: draft"), note=text_of(entries.get("note", ""), f"{where}: note"),
        by_default=bool(entries.get("by_default", False)),
        covariance=text_of(entries["covariance"], f"{where}: covariance") if "covariance" in entries else None,
        replaces=_replaced(entries.get("replaces", ()), bands, where), spectra=_spectra(entries.get("spectra"), bands, where),
        passband_tables=tuple(
            (str(band["name"]), str(path_within(folder, band["passband_table"], f"{where}: passband_table")))
            for band in entries["bands"]
            if "passband_table" in band
        ),
    )  # fmt: skip


_SURVEY_KEYS: Final = {
    "survey", "release", "title", "source", "bands", "cuts", "draft", "note", "by_default", "covariance", "replaces", "spectra",
}  # fmt: skip
_BAND_NEEDS: Final = {
    "name",
    "label",
    "passband",
    "magnitude",
    "system",
    "error_floor_mag",
    "error_range_mag",
}
_BAND_KEYS: Final = _BAND_NEEDS | {
    "error",
    "flux",
    "flux_error",
    "extinction",
    "passband_table",
    "magnitude_aliases",
    "error_aliases",
}
_CUT_NEEDS: Final = {"name", "condition", "column", "kind", "keep", "without"}


def _band(content: Any, survey: str, where: str) -> Band:
    entries = section(content, _BAND_KEYS, _BAND_NEEDS, where)
    texts = {
        key: text_of(entries[key], f"{where}: {key}")
        for key in ("name", "label", "passband", "magnitude", "system", "error", "flux", "flux_error")
        if key in entries
    }
    name, passband, system = (texts[key] for key in ("name", "passband", "system"))
    where = f"{where} ({name})"
    if passband not in PASSBANDS and "passband_table" not in entries:
        raise InputError(
            f"{where}: passband {passband!r} is none that redflower knows. Known are {', '.join(PASSBANDS)} (names of the Filter "
            "Profile Service). Without its passband a band has neither a system nor a law to be checked against. Give one of "
            "your own as passband_table, a CSV of wavelength_nm and throughput."
        )
    if passband not in PASSBANDS and system not in get_args(System):
        raise InputError(f"{where}: system must be one of {', '.join(get_args(System))}; got {system!r}.")
    if passband in PASSBANDS and system != PASSBANDS[passband]:
        raise InputError(
            f"{where}: system must be {PASSBANDS[passband]!r}, in which catalogues give {passband}; got {system!r}. Bring the "
            "magnitudes to that system first: a colour that mixes two is off by up to several magnitudes."
        )
    flux, flux_error, error = (texts.get(key) for key in ("flux", "flux_error", "error"))
    if (flux is None) != (flux_error is None) or (error is None and flux is None):
        raise InputError(
            f"{where}: give 'error', the column of the magnitude's error in mag, or both 'flux' and 'flux_error'; got "
            f"error={error!r}, flux={flux!r}, flux_error={flux_error!r}. An error of a flux alone says nothing of a magnitude."
        )
    if error is not None and "flux" in error.lower():
        raise InputError(
            f"{where}: 'error' must be the column of an error in mag; {error!r} is one of a flux. Give 'flux' and 'flux_error' "
            "in its place."
        )
    floor_mag = number_of(entries["error_floor_mag"], f"{where}: error_floor_mag", 0.0, 1.0)
    pair = entries["error_range_mag"]
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise InputError(
            f"{where}: error_range_mag must be two numbers, lowest and highest error in mag; got {in_a_line(pair)}."
        )
    low, high = (number_of(value, f"{where}: error_range_mag", 1e-4, 2.0) for value in pair)
    if not low < high:
        raise InputError(f"{where}: error_range_mag must rise; got {in_a_line(pair)}.")
    return Band(
        name=name, label=texts["label"], survey=survey, magnitude_column=texts["magnitude"], error_column=error,
        flux_column=flux, flux_error_column=flux_error, system=system,  # type: ignore[arg-type]
        error_floor_mag=floor_mag, passband=passband, error_range_mag=(low, high),
        extinction=_coefficients(entries["extinction"], where) if "extinction" in entries else _published().get(name),
        magnitude_aliases=texts_of(entries.get("magnitude_aliases", ()), f"{where}: magnitude_aliases"),
        error_aliases=texts_of(entries.get("error_aliases", ()), f"{where}: error_aliases"),
    )  # fmt: skip


def _coefficients(content: Any, where: str) -> ExtinctionCoefficients:
    """Return the coefficients that a file states: those of a published set, one number, or a polynomial."""
    where = f"{where}, extinction"
    if isinstance(content, str):
        if content not in _published():
            raise InputError(
                f"{where}: {in_a_line(content)} is no published set; there are {', '.join(_published())}."
            )
        return _published()[content]
    numbers = {*"abcdef", "teff_min_k", "teff_max_k"}
    entries = section(content, {"basis", "single", *numbers}, {"basis", "single"}, where)
    if entries["basis"] != EBV_BASIS:
        raise InputError(
            f"{where}: basis must be {EBV_BASIS!r}: R = A / E(B-V) on that scale; got {in_a_line(entries['basis'])}. A / A_V is "
            "multiplied by 2.742, which is A_V / E(B-V) on that scale for R_V = 3.1 (Schlafly & Finkbeiner 2011); coefficients "
            "per E(B-V) of their recalibration are multiplied by 0.86."
        )
    given = numbers & set(entries)
    if given and given != numbers:
        raise InputError(
            f"{where}: a polynomial needs {', '.join(sorted(numbers))}; {', '.join(sorted(numbers - given))} lack."
        )
    single = number_of(entries["single"], f"{where}: single", 0.0, 20.0)
    if not given:
        return ExtinctionCoefficients(single, 0.0, 0.0, 0.0, 0.0, 0.0, single, 3500.0, 12000.0)
    values = {key: number_of(entries[key], f"{where}: {key}", -1e5, 1e5) for key in numbers}
    return ExtinctionCoefficients(single=single, **values)


def _cut(content: Any, bands: tuple[Band, ...], where: str) -> BandCut:
    entries = section(content, _CUT_NEEDS | {"aliases", "places", "bands"}, _CUT_NEEDS, where)
    kind, places = entries["kind"], entries.get("places", {})
    if kind not in get_args(CutKind):
        raise InputError(
            f"{where}: kind must be one of {', '.join(get_args(CutKind))}; got {in_a_line(kind)}."
        )
    if not isinstance(places, Mapping) or not all(type(n) is int and 0 <= n < 100 for n in places.values()):
        raise InputError(
            f"{where}: places must be a section that gives each band a whole number from 0 to 99; got {in_a_line(places)}."
        )
    if kind == "letter" and set(places) != {band.name for band in bands}:
        raise InputError(
            f"{where}: places must have the place of the letter of each of {', '.join(b.name for b in bands)}."
        )
    of_bands = texts_of(entries.get("bands", []), f"{where}: bands")
    unknown = [name for name in of_bands if name not in {band.name for band in bands}]
    if unknown:
        raise InputError(
            f"{where}: bands must name bands of the survey, {', '.join(b.name for b in bands)}; got {in_a_line(unknown[0])}."
        )
    said = {
        key: text_of(entries[key], f"{where}: {key}") for key in ("name", "condition", "column", "without")
    }
    keep = [
        one if isinstance(one, str) else in_a_line(one) for one in list_of(entries["keep"], f"{where}: keep")
    ]
    if kind == "number" and not all(map(_is_number, keep)):
        raise InputError(f"{where}: keep must be numbers, because kind is 'number'; got {in_a_line(keep)}.")
    return BandCut(
        **said, aliases=texts_of(entries.get("aliases", ()), f"{where}: aliases"), kind=kind,
        keep=texts_of(keep, f"{where}: keep"),
        places=tuple(places.items()), of_bands=tuple(of_bands),
    )  # fmt: skip


def _replaced(names: Any, bands: tuple[Band, ...], where: str) -> tuple[str, ...]:
    """Return the names of the bands that a survey's own take the place of."""
    names = texts_of(names, f"{where}: replaces, names of bands such as gaia_bp,")
    wrong = sorted({"gaia_g", *(band.name for band in bands)} & set(names))
    if wrong:
        raise InputError(
            f"{where}: replaces cannot name {wrong[0]!r}: G leads every model, and a band is not in its own place."
        )
    return names


def _spectra(content: Any, bands: tuple[Band, ...], where: str) -> SpectraSource | None:
    if content is None:
        return None
    where = f"{where}, [spectra]"
    entries = section(content, {"system", "bands"}, {"system", "bands"}, where)
    given = entries["bands"]
    if not isinstance(given, Mapping) or set(given) != {band.name for band in bands}:
        raise InputError(
            f"{where}: bands must give each of {', '.join(b.name for b in bands)} its name in the system of GaiaXPy."
        )
    return SpectraSource(
        text_of(entries["system"], f"{where}: system"),
        tuple((band.name, text_of(given[band.name], f"{where}: bands: {band.name}")) for band in bands),
    )


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
