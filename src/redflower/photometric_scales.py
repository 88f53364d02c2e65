"""Photometric scales: which release of each survey magnitudes are from, and how one release turns into another.

A table and a model each state their scale. Where the two differ, the table's magnitudes are moved to the model's scale and
the uncertainty of the move is added to their errors; where no relation is known, the two are not mixed. The numbers are
in ``data/photometric_scales.toml``.

Pan-STARRS1 moved its zero points by 0.01 to 0.03 mag for its release. A model on one side of that move, given stars from the
other, finds a cloud of 0.09 mag that is not there.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float

from redflower.bands import BP, RP, STANDARD, STANDARD_SURVEYS, BandSet, G
from redflower.errors import InputError, ModelError
from redflower.surveys import shipped_surveys

#: Colour and magnitude at which the terms in them vanish. [mag]
PIVOT_BP_RP_MAG: Final = 0.9
PIVOT_G_MAG: Final = 15.0

#: The scale of the mock Galaxy's colours, and so of the model ``mock-sky``: that of the stars they were fitted to.
MOCK_SKY_SCALE: Final = "gaia=dr2-no-drift,ps1=pre-release"

#: The surveys whose releases every scale states.
SURVEYS: Final = STANDARD_SURVEYS


@dataclass(frozen=True)
class BandTerms:
    """What turns a band of one release into the survey's reference release; see the head of the data file.

    Attributes
    ----------
    offset_mag : constant. [mag]
    per_bp_rp : slope with BP - RP from `PIVOT_BP_RP_MAG` on.
    per_g : slope with G from `PIVOT_G_MAG` on, G clipped to ``g_range``.
    g_range : range of G in which ``per_g`` was measured. [mag]
    uncertainty_mag : standard error of the sum, common to all stars. [mag]
    """

    offset_mag: float = 0.0
    per_bp_rp: float = 0.0
    per_g: float = 0.0
    g_range: tuple[float, float] = (-np.inf, np.inf)
    uncertainty_mag: float = 0.0


@dataclass(frozen=True)
class Release:
    """A release of a survey.

    Attributes
    ----------
    survey, name : for instance ``ps1`` and ``archive``.
    description, passbands, source : in words.
    terms : of the bands that differ from the reference release, by band name.
    known : whether the relation to the reference release is known at all.
    """

    survey: str
    name: str
    description: str
    passbands: str
    source: str
    terms: Mapping[str, BandTerms]
    known: bool = True


@dataclass(frozen=True)
class PhotometricScale:
    """The release of each survey.

    Attributes
    ----------
    names : pairs of survey and release; see `releases`. The standard surveys are always among them.
    """

    names: tuple[tuple[str, str], ...]

    @property
    def gaia(self) -> str:
        """The release of Gaia."""
        return self.as_dict()["gaia"]

    def release(self, survey: str) -> Release:
        """Return the release of a survey; where none is stated, the survey's default."""
        return _release(survey, self.as_dict().get(survey) or default_release_name(survey))

    def as_dict(self) -> dict[str, str]:
        """Return the name of the release by survey, as files state it."""
        return dict(self.names)

    def stating(self, releases: Mapping[str, str]) -> "PhotometricScale":
        """Return the scale with releases of further surveys, where it states none of them.

        Parameters
        ----------
        releases : names of releases by survey.
        """
        return _from_names({**releases, **self.as_dict()}, any_survey=True)

    def __str__(self) -> str:
        return ",".join(f"{survey}={name}" for survey, name in self.as_dict().items())


def releases(survey: str) -> dict[str, Release]:
    """Return the releases of a survey by name, the reference first; none of a survey that redflower does not know."""
    return _table().get(survey, {})


def default_release_name(survey: str) -> str:
    """Return the release that is assumed of a survey; of one that redflower does not know, a name that is no other's."""
    return str(_content()[survey]["default"]) if survey in _content() else "as described"


def archive_scale() -> PhotometricScale:
    """Return the scale of tables as the surveys' archives deliver them today, which is the default."""
    return _from_names({survey: default_release_name(survey) for survey in SURVEYS})


def recorded_scale(stated: Mapping[str, str]) -> PhotometricScale:
    """Return the scale that a table or a model of redflower's records, whose surveys may be a user's own.

    Raises
    ------
    InputError
        If a release is none of a survey that redflower knows.
    """
    for survey, name in stated.items():
        _release(survey, name)
    return _from_names(stated, any_survey=True)


def make_scale(
    stated: "PhotometricScale | Mapping[str, str] | str | None", default: PhotometricScale | None = None
) -> PhotometricScale:
    """Return the scale that a user states.

    Parameters
    ----------
    stated : a scale; a mapping from survey to release; or text such as ``"ps1=pre-release,gaia=dr2"``.
    default : the releases of surveys that are not named. Defaults to `archive_scale`.

    Raises
    ------
    InputError : a survey or a release is unknown, or the text is of another form.

    Examples
    --------
    >>> str(make_scale("ps1=pre-release"))
    'gaia=dr3,ps1=pre-release,2mass=2mass'
    """
    base = default or archive_scale()
    if stated is None:
        return base
    if isinstance(stated, PhotometricScale):
        return stated
    names: dict[str, str] = {}
    if isinstance(stated, str):
        for part in (part.strip() for part in stated.split(",")):
            survey, equals, name = (text.strip() for text in part.partition("="))
            if not equals or survey in names:
                raise InputError(
                    f"photometry: {stated!r} must name each survey once, as in ps1=pre-release,gaia=dr2."
                )
            names[survey] = name
    else:
        names = dict(stated)
    scale = _from_names({**base.as_dict(), **names}, any_survey=set(names) <= set(base.as_dict()))
    for survey, name in scale.names:
        _release(survey, name)
    return scale


def move_magnitudes(
    magnitude_mag: Float[np.ndarray, "star band"],
    error_mag: Float[np.ndarray, "star band"],
    observed: Bool[np.ndarray, "star band"],
    *,
    of_table: PhotometricScale,
    to: PhotometricScale,
    bands: BandSet = STANDARD,
) -> tuple[Float[np.ndarray, "star band"], Float[np.ndarray, "star band"]]:
    """Move magnitudes from one scale to another and add the uncertainty of the move to their errors.

    Stars without BP - RP or G are moved as those at `PIVOT_BP_RP_MAG` and `PIVOT_G_MAG`.

    Parameters
    ----------
    magnitude_mag, error_mag : apparent magnitudes and errors. [mag]
    observed : which of them are there; the others stay as they are.
    of_table, to : the scales.
    bands : of the arrays.

    Returns
    -------
    Magnitudes on the scale ``to``, and their errors. [mag]

    Raises
    ------
    ModelError : no relation between the two releases of a survey with observed bands is known.
    """
    bp_rp_mag = np.where(
        observed[:, BP] & observed[:, RP], magnitude_mag[:, BP] - magnitude_mag[:, RP], PIVOT_BP_RP_MAG
    )
    g_mag = np.where(observed[:, G], magnitude_mag[:, G], PIVOT_G_MAG)
    moved, error = magnitude_mag.copy(), error_mag.copy()
    for i, band in enumerate(bands):
        theirs, ours = of_table.release(band.survey), to.release(band.survey)
        if theirs == ours or not observed[:, i].any():
            continue
        if not (theirs.known and ours.known):
            raise ModelError(
                f"photometry: the table is on {band.survey}={theirs.name} and the model on {band.survey}={ours.name}, and "
                f"no relation between the two is known. Use a model trained on {theirs.name}, or stars of {ours.name}."
            )
        first, second = theirs.terms.get(band.name, BandTerms()), ours.terms.get(band.name, BandTerms())
        shift = _shift_mag(first, bp_rp_mag, g_mag) - _shift_mag(second, bp_rp_mag, g_mag)
        seen = observed[:, i]
        moved[seen, i] += shift[seen]
        error[seen, i] = np.hypot(error[seen, i], _move_uncertainty_mag(first, second))
    return moved, error


def describe_move(of_table: PhotometricScale, to: PhotometricScale, bands: BandSet = STANDARD) -> list[str]:
    """Return a sentence for each survey whose magnitudes are moved."""
    sentences = []
    for survey in bands.surveys:
        theirs, ours = of_table.release(survey), to.release(survey)
        if theirs == ours:
            continue
        shifts = []
        for band in (band for band in bands if band.survey == survey):
            first, second = theirs.terms.get(band.name, BandTerms()), ours.terms.get(band.name, BandTerms())
            shift = first.offset_mag - second.offset_mag
            shifts.append(f"{band.label} {shift:+.4f} +- {_move_uncertainty_mag(first, second):.4f}")
        sentences.append(
            f"{survey} is moved from {theirs.name} to {ours.name}, the scale of the model: {', '.join(shifts)} mag"
        )
    return sentences


def _shift_mag(
    terms: BandTerms, bp_rp_mag: Float[np.ndarray, " star"], g_mag: Float[np.ndarray, " star"]
) -> Float[np.ndarray, " star"]:
    colour = bp_rp_mag - PIVOT_BP_RP_MAG
    brightness = np.clip(g_mag, *terms.g_range) - PIVOT_G_MAG if terms.per_g else 0.0
    return terms.offset_mag + terms.per_bp_rp * colour + terms.per_g * brightness


def _move_uncertainty_mag(first: BandTerms, second: BandTerms) -> float:
    """Return the uncertainty of a move; none of the offset that two releases share, such as DR2 with and without drift."""
    if first.offset_mag == second.offset_mag and first.per_bp_rp == second.per_bp_rp:
        return 0.0
    return float(np.hypot(first.uncertainty_mag, second.uncertainty_mag))


def _release(survey: str, name: str) -> Release:
    known = releases(survey)
    if not known:  # a user's own survey: its releases do not turn into each other
        return Release(survey, name, "", "", "the file that describes the survey", {}, known=False)
    if name not in known:
        raise InputError(
            f"photometry: {survey}={name!r} is no release that redflower knows; it knows {', '.join(known)}."
        )
    return known[name]


def _from_names(names: Mapping[str, str], *, any_survey: bool = False) -> PhotometricScale:
    unknown = [survey for survey in names if survey not in _content()]
    if unknown and not any_survey:
        raise InputError(
            f"photometry: {unknown[0]!r} is no survey that redflower knows; it knows {', '.join(_content())}."
        )
    further = sorted(set(names) - set(SURVEYS))
    return PhotometricScale(tuple((survey, str(names[survey])) for survey in (*SURVEYS, *further)))


@cache
def _content() -> dict[str, Any]:
    path = resources.files("redflower") / "data" / "photometric_scales.toml"
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    for survey in shipped_surveys().values():
        # Releases that are described by survey files alone have no relation to each other.
        entry = content.setdefault(
            survey.survey, {"reference": survey.release, "default": survey.release, "releases": {}}
        )
        entry["releases"].setdefault(
            survey.release,
            {
                "description": survey.title,
                "passbands": survey.source,
                "source": survey.source,
                "known": False,
            },
        )
    return content


@cache
def _table() -> dict[str, dict[str, Release]]:
    return {survey: {release.name: release for release in _releases_of(survey)} for survey in _content()}


def _releases_of(survey: str) -> Iterator[Release]:
    entry = _content()[survey]
    for name in sorted(entry["releases"], key=lambda name: name != entry["reference"]):
        content = entry["releases"][name]
        yield Release(
            survey=survey,
            name=name,
            description=content["description"],
            passbands=content["passbands"],
            source=content["source"],
            terms={band: _terms(fields) for band, fields in content.get("to_reference", {}).items()},
            known=content.get("known", True),
        )


def _terms(fields: Mapping[str, Any]) -> BandTerms:
    numbers = dict(fields)
    if "g_range" in numbers:
        numbers["g_range"] = tuple(numbers["g_range"])
    return BandTerms(**numbers)
