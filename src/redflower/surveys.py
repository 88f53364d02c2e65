"""Surveys as files describe them: bands, columns, magnitude systems, extinction coefficients, cuts.

One file in ``data/surveys`` describes one survey, or one release of it where releases differ in their columns. A user's own file
is read in the same way. What each entry means is said at the head of ``data/surveys/gaia.toml``.
"""

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, get_args

from redflower.band import Band, ExtinctionCoefficients, System
from redflower.errors import InputError

#: The basis of every extinction coefficient: A / E(B-V), with E(B-V) on this scale.
EBV_BASIS: Final = "E(B-V), Schlegel et al. 1998"
CutKind = Literal["letter", "number", "letters"]

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


@dataclass(frozen=True)
class BandCut:
    """A cut that a survey's own flags allow.

    Attributes
    ----------
    name, condition : in words.
    column : of the flag, by redflower's name.
    aliases : other names of the column.
    kind : ``letter`` where the flag has a letter for each band of the survey's catalogue, ``letters`` where the text as a whole
        counts, ``number`` where it is a number.
    keep : the letters, texts or numbers with which a measurement counts.
    without : what is lost without the column.
    places : for ``letter``, the place of each band's letter, by band name.
    """

    name: str
    condition: str
    column: str
    aliases: tuple[str, ...]
    kind: CutKind
    keep: tuple[str, ...]
    without: str
    places: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class SpectraSource:
    """How a survey's bands are computed from BP/RP spectra.

    Attributes
    ----------
    system : the photometric system of GaiaXPy whose passbands they are.
    bands : pairs of a band's name and its name in that system.
    """

    system: str
    bands: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Survey:
    """What a file says of a survey.

    Attributes
    ----------
    name : what options call it, for instance ``allwise``; that of the file.
    survey : what its bands and photometric scale call it, for instance ``wise``; two releases of one survey share it.
    release : of its magnitudes, for the photometric scale.
    title, source : in words.
    bands : in the order of the file.
    cuts : on its flags.
    draft : what is not confirmed; empty where everything is.
    by_default : whether every table is searched for its columns.
    covariance : column of the covariance of its magnitudes [mag^2]: an array, the lower triangle of the bands in their order, row
        by row, with the diagonal; None where their errors are independent.
    replaces : names of bands whose light these are of too: where a star has one of these, those are set missing.
    spectra : how `redflower spectra` computes its bands; None where a catalogue has them.
    passband_tables : files of passbands by name of band, for `redflower law`; other bands have a library's.
    """

    name: str
    survey: str
    release: str
    title: str
    source: str
    bands: tuple[Band, ...]
    cuts: tuple[BandCut, ...] = ()
    draft: str = ""
    by_default: bool = False
    covariance: str | None = None
    replaces: tuple[str, ...] = ()
    spectra: SpectraSource | None = None
    passband_tables: tuple[tuple[str, str], ...] = ()


def shipped_surveys() -> dict[str, Survey]:
    """Return the surveys that come with redflower, by name.

    Examples
    --------
    >>> [band.label for band in shipped_surveys()["allwise"].bands]
    ['W1', 'W2']
    """
    return dict(_shipped())


def survey_named(name_or_path: "str | Path") -> Survey:
    """Return a shipped survey, or read a file that describes one.

    Parameters
    ----------
    name_or_path : a name of `shipped_surveys`, or a TOML file.

    Returns
    -------
    The survey.

    Raises
    ------
    InputError
        If there is no such survey or file, or the file says what cannot be.

    Examples
    --------
    >>> survey_named("sdss").survey
    'sdss'
    """
    text = str(name_or_path)
    if text in _shipped():
        return _shipped()[text]
    path = Path(name_or_path)
    if path.suffix.lower() != ".toml":
        raise InputError(
            f"--survey {text!r}: redflower knows {', '.join(_shipped())}; any other is described in a file that ends in .toml "
            "(`redflower surveys allwise --show` prints one to start from)."
        )
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise InputError(f"--survey {path} cannot be read: {problem.strerror or problem}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise InputError(f"--survey {path} is not valid TOML: {problem}.") from None
    return make_survey(content, path.stem, f"--survey {path}", path.parent)


def survey_text(name: str) -> str:
    """Return the file of a shipped survey."""
    return (resources.files("redflower") / "data" / "surveys" / f"{name}.toml").read_text("utf-8")


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


@cache
def _shipped() -> dict[str, Survey]:
    folder = resources.files("redflower") / "data" / "surveys"
    names = sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )
    order = {name: i for i, name in enumerate(("gaia", "ps1", "2mass", "allwise"))}
    return {
        name: make_survey(tomllib.loads(survey_text(name)), name, f"data/surveys/{name}.toml")
        for name in sorted(names, key=lambda name: order.get(name, len(order)))
    }


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
    entries = _entries(content, _SURVEY_KEYS, {"survey", "release", "title", "source", "bands"}, where)
    survey = str(entries["survey"])
    bands = tuple(
        _band(band, survey, f"{where}, [[bands]] {i + 1}") for i, band in enumerate(entries["bands"])
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
        _cut(cut, bands, f"{where}, [[cuts]] {i + 1}") for i, cut in enumerate(entries.get("cuts", ()))
    )
    return Survey(
        name=name, survey=survey, release=str(entries["release"]), title=str(entries["title"]), source=str(entries["source"]),
        bands=bands, cuts=cuts, draft=str(entries.get("draft", "")), by_default=bool(entries.get("by_default", False)),
        covariance=None if "covariance" not in entries else str(entries["covariance"]),
        replaces=_replaced(entries.get("replaces", ()), bands, where), spectra=_spectra(entries.get("spectra"), bands, where),
        passband_tables=tuple(
            (str(band["name"]), str(folder / str(band["passband_table"])))
            for band in entries["bands"]
            if "passband_table" in band
        ),
    )  # fmt: skip


_SURVEY_KEYS: Final = {
    "survey", "release", "title", "source", "bands", "cuts", "draft", "by_default", "covariance", "replaces", "spectra",
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


def _entries(content: Any, known: set[str], needed: set[str], where: str) -> dict[str, Any]:
    """Return the entries of a section, which must all be known, and none of the needed absent."""
    if not isinstance(content, Mapping):
        raise InputError(f"{where} must be a section of entries; got {content!r:.80}.")
    unknown, absent = sorted(set(content) - known), sorted(needed - set(content))
    if unknown or absent:
        raise InputError(
            f"{where}: unknown entries: {', '.join(unknown) or 'none'}; absent: {', '.join(absent) or 'none'}. Known are "
            f"{', '.join(sorted(known))}."
        )
    return dict(content)


def _band(content: Any, survey: str, where: str) -> Band:
    entries = _entries(content, _BAND_KEYS, _BAND_NEEDS, where)
    name, passband, system = (str(entries[key]) for key in ("name", "passband", "system"))
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
    flux, flux_error, error = (entries.get(key) for key in ("flux", "flux_error", "error"))
    if (flux is None) != (flux_error is None) or (error is None and flux is None):
        raise InputError(
            f"{where}: give 'error', the column of the magnitude's error in mag, or both 'flux' and 'flux_error'; got "
            f"error={error!r}, flux={flux!r}, flux_error={flux_error!r}. An error of a flux alone says nothing of a magnitude."
        )
    if error is not None and "flux" in str(error).lower():
        raise InputError(
            f"{where}: 'error' must be the column of an error in mag; {error!r} is one of a flux. Give 'flux' and 'flux_error' "
            "in its place."
        )
    floor_mag = _number(entries["error_floor_mag"], f"{where}: error_floor_mag", 0.0, 1.0)
    pair = entries["error_range_mag"]
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise InputError(
            f"{where}: error_range_mag must be two numbers, lowest and highest error in mag; got {pair!r}."
        )
    low, high = (_number(value, f"{where}: error_range_mag", 1e-4, 2.0) for value in pair)
    if not low < high:
        raise InputError(f"{where}: error_range_mag must rise; got {pair!r}.")
    return Band(
        name=name, label=str(entries["label"]), survey=survey, magnitude_column=str(entries["magnitude"]),
        error_column=None if error is None else str(error), flux_column=None if flux is None else str(flux),
        flux_error_column=None if flux_error is None else str(flux_error), system=system,  # type: ignore[arg-type]
        error_floor_mag=floor_mag, passband=passband, error_range_mag=(low, high),
        extinction=_coefficients(entries["extinction"], where) if "extinction" in entries else _published().get(name),
        magnitude_aliases=tuple(map(str, entries.get("magnitude_aliases", ()))),
        error_aliases=tuple(map(str, entries.get("error_aliases", ()))),
    )  # fmt: skip


def _coefficients(content: Any, where: str) -> ExtinctionCoefficients:
    """Return the coefficients that a file states: those of a published set, one number, or a polynomial."""
    where = f"{where}, extinction"
    if isinstance(content, str):
        if content not in _published():
            raise InputError(
                f"{where}: {content!r} is no published set; there are {', '.join(_published())}."
            )
        return _published()[content]
    numbers = {*"abcdef", "teff_min_k", "teff_max_k"}
    entries = _entries(content, {"basis", "single", *numbers}, {"basis", "single"}, where)
    if entries["basis"] != EBV_BASIS:
        raise InputError(
            f"{where}: basis must be {EBV_BASIS!r}: R = A / E(B-V) on that scale; got {entries['basis']!r}. A / A_V is "
            "multiplied by 2.742, which is A_V / E(B-V) on that scale for R_V = 3.1 (Schlafly & Finkbeiner 2011); coefficients "
            "per E(B-V) of their recalibration are multiplied by 0.86."
        )
    given = numbers & set(entries)
    if given and given != numbers:
        raise InputError(
            f"{where}: a polynomial needs {', '.join(sorted(numbers))}; {', '.join(sorted(numbers - given))} lack."
        )
    single = _number(entries["single"], f"{where}: single", 0.0, 20.0)
    if not given:
        return ExtinctionCoefficients(single, 0.0, 0.0, 0.0, 0.0, 0.0, single, 3500.0, 12000.0)
    values = {key: _number(entries[key], f"{where}: {key}", -1e5, 1e5) for key in numbers}
    return ExtinctionCoefficients(single=single, **values)


def _cut(content: Any, bands: tuple[Band, ...], where: str) -> BandCut:
    entries = _entries(content, _CUT_NEEDS | {"aliases", "places"}, _CUT_NEEDS, where)
    kind, places = entries["kind"], dict(entries.get("places", {}))
    if kind not in get_args(CutKind):
        raise InputError(f"{where}: kind must be one of {', '.join(get_args(CutKind))}; got {kind!r}.")
    if kind == "letter" and set(places) != {band.name for band in bands}:
        raise InputError(
            f"{where}: places must have the place of the letter of each of {', '.join(b.name for b in bands)}."
        )
    return BandCut(
        name=str(entries["name"]), condition=str(entries["condition"]), column=str(entries["column"]),
        aliases=tuple(map(str, entries.get("aliases", ()))), kind=kind, keep=tuple(map(str, entries["keep"])),
        without=str(entries["without"]), places=tuple((str(key), int(place)) for key, place in places.items()),
    )  # fmt: skip


def _replaced(names: Any, bands: tuple[Band, ...], where: str) -> tuple[str, ...]:
    """Return the names of the bands that a survey's own take the place of."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f'{where}: replaces must list names of bands, such as ["gaia_bp"]; got {names!r:.60}.'
        )
    wrong = sorted({"gaia_g", *(band.name for band in bands)} & set(names))
    if wrong:
        raise InputError(
            f"{where}: replaces cannot name {wrong[0]!r}: G leads every model, and a band is not in its own place."
        )
    return tuple(names)


def _spectra(content: Any, bands: tuple[Band, ...], where: str) -> SpectraSource | None:
    if content is None:
        return None
    where = f"{where}, [spectra]"
    entries = _entries(content, {"system", "bands"}, {"system", "bands"}, where)
    given = entries["bands"]
    if not isinstance(given, Mapping) or set(given) != {band.name for band in bands}:
        raise InputError(
            f"{where}: bands must give each of {', '.join(b.name for b in bands)} its name in the system of GaiaXPy."
        )
    return SpectraSource(str(entries["system"]), tuple((band.name, str(given[band.name])) for band in bands))


def _number(value: Any, what: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{what} must be a number from {low:g} to {high:g}; got {value!r:.40}.")
    return float(value)
