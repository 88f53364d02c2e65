"""Matching HATS catalogues at the epoch of each survey, through LSDB."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.spatial import cKDTree

from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.releases import releases
from redflower.errors import InputError
from redflower.sky_patch import angle_of_chord, unit_vectors

if TYPE_CHECKING:
    import pandas as pd

#: Greatest distance of a counterpart at its own epoch. [arcsec]
RADIUS_ARCSEC: Final = 1.0
#: The same between stars of two releases of Gaia: motions over 1.5 yr are known to some mas. [arcsec]
_RADIUS_OF_RELEASES_ARCSEC: Final = 0.2
#: The release whose stars have geometric distances, with its identifiers and epoch.
DISTANCES_OF: Final = "dr3"
#: Gaia's columns that only serve the match.
MOTION: Final = ("pmra", "pmdec")


@dataclass(frozen=True)
class MatchedSurvey:
    """How a catalogue is matched and read: key of the object, epoch, and its names for the archive's columns."""

    identifier: str
    epoch: str | None
    epoch_unit: str
    usual_epoch_yr: float
    columns: Mapping[str, str]
    mates: str | None


MATCHED: Final[dict[str, MatchedSurvey]] = {
    "ps1": MatchedSurvey(
        "objID", "epochMean", "mjd", 2012.5,
        {
            **{f"{b}MeanPSFMag": f"{b}_mean_psf_mag" for b in "grizy"},
            **{f"{b}MeanPSFMagErr": f"{b}_mean_psf_mag_error" for b in "grizy"},
            **{f"{b}Flags": f"ps1_{b}_flags" for b in "grizy"},
            "qualityFlag": "ps1_quality_flag",
        },
        "ps1_number_of_mates",
    ),
    "2mass": MatchedSurvey(
        "designation", "jdate", "jd", 1999.5,
        {
            "j_m": "j_m", "j_msigcom": "j_msigcom", "h_m": "h_m", "h_msigcom": "h_msigcom", "k_m": "ks_m",
            "k_msigcom": "ks_msigcom", "ph_qual": "ph_qual",
        },
        "tmass_number_of_mates",
    ),
    "distances": MatchedSurvey(
        "source_id", None, "", releases()[DISTANCES_OF].epoch_yr, {f"r_{w}_geo": f"r_{w}_geo" for w in ("med", "lo", "hi")}, None
    ),
}  # fmt: skip


def _algorithm_base() -> type:
    try:
        from lsdb import AbstractCrossmatchAlgorithm
    except ImportError:
        return object
    return AbstractCrossmatchAlgorithm


class EpochCrossmatch(_algorithm_base()):  # type: ignore[misc]
    """Nearest counterpart at the counterpart's own epoch, for LSDB's crossmatch.

    Parameters
    ----------
    survey : the right catalogue's name in this module.
    release : of the Gaia catalogue on the left.
    radius_arcsec : greatest distance of a counterpart. Defaults to `RADIUS_ARCSEC`, or to less between two releases of
        Gaia. [arcsec]
    """

    def __init__(self, survey: str, release: GaiaRelease, radius_arcsec: float | None = None) -> None:
        super().__init__()
        self.survey, self.release = survey, release
        between_releases = survey == "distances" and release.name != DISTANCES_OF
        usual_arcsec = _RADIUS_OF_RELEASES_ARCSEC if between_releases else RADIUS_ARCSEC
        self.radius_arcsec = usual_arcsec if radius_arcsec is None else radius_arcsec

    def validate(self, left: Any, right: Any) -> None:
        """Refuse catalogues whose margin is narrower than the matching radius."""
        super().validate(left, right)
        if right.margin is None:
            raise InputError(f"the {self.survey} catalogue has no margin.")
        threshold = right.margin.hc_structure.catalog_info.margin_threshold
        if threshold < self.radius_arcsec:
            raise InputError(
                f"the {self.survey} catalogue has a margin of {threshold:g} arcsec; matching within "
                f"{self.radius_arcsec:g} arcsec needs at least that."
            )

    def perform_crossmatch(self, crossmatch_args: Any) -> tuple[np.ndarray, np.ndarray, "pd.DataFrame"]:
        """Return the indices of matched rows on both sides, and no further columns."""
        import pandas as pd

        left, right = crossmatch_args.left_df, crossmatch_args.right_df
        info = crossmatch_args.right_catalog_info
        ra_deg, dec_deg, pmra, pmdec = (
            float_column(left, self.release.theirs(name)) for name in ("ra", "dec", *MOTION)
        )
        left_rows, right_rows, _ = match_at_epoch(
            ra_deg,
            dec_deg,
            pmra,
            pmdec,
            float_column(right, info.ra_column),
            float_column(right, info.dec_column),
            _epochs_yr(right, MATCHED[self.survey]),
            self.radius_arcsec,
            self.release.epoch_yr,
        )
        return left_rows, right_rows, pd.DataFrame(index=range(len(left_rows)))


def match_at_epoch(
    ra_deg: np.ndarray,
    dec_deg: np.ndarray,
    pmra_mas_yr: np.ndarray,
    pmdec_mas_yr: np.ndarray,
    other_ra_deg: np.ndarray,
    other_dec_deg: np.ndarray,
    other_epoch_yr: np.ndarray,
    radius_arcsec: float,
    gaia_epoch_yr: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the nearest counterpart of each Gaia star, moved to the counterpart's epoch.

    Parameters
    ----------
    ra_deg, dec_deg : Gaia positions at ``gaia_epoch_yr``. [deg]
    pmra_mas_yr, pmdec_mas_yr : proper motions, pmra with cos(dec) in it; NaN counts as none. [mas/yr]
    other_ra_deg, other_dec_deg, other_epoch_yr : the other catalogue. [deg, yr]
    radius_arcsec : greatest distance at the counterpart's epoch. [arcsec]
    gaia_epoch_yr : epoch of the Gaia positions. [yr]

    Returns
    -------
    Rows of the matched stars, rows of their counterparts, and their distances [arcsec]; a star at most once.
    """
    pmra, pmdec = np.nan_to_num(pmra_mas_yr), np.nan_to_num(pmdec_mas_yr)
    middle = float(np.median(other_epoch_yr)) if len(other_epoch_yr) else gaia_epoch_yr
    spread_yr = float(np.abs(other_epoch_yr - middle).max()) if len(other_epoch_yr) else 0.0
    there = _moved(ra_deg, dec_deg, pmra, pmdec, middle - gaia_epoch_yr)
    reach = radius_arcsec + 1e-3 * np.hypot(pmra, pmdec) * spread_yr
    tree = cKDTree(unit_vectors(other_ra_deg, other_dec_deg))
    lists = tree.query_ball_point(there, 2 * np.sin(np.radians(reach / 3600) / 2))
    lengths = np.fromiter((len(found) for found in lists), dtype=int, count=len(lists))
    left = np.repeat(np.arange(len(ra_deg)), lengths)
    if left.size == 0:
        return left, left, np.zeros(0)
    right = np.concatenate([np.asarray(found, dtype=int) for found in lists if found])
    years = other_epoch_yr[right] - gaia_epoch_yr
    at_epoch = _moved(ra_deg[left], dec_deg[left], pmra[left], pmdec[left], years)
    chord = np.linalg.norm(at_epoch - unit_vectors(other_ra_deg[right], other_dec_deg[right]), axis=1)
    distance = angle_of_chord(chord) * 3600
    near = distance <= radius_arcsec
    left, right, distance = left[near], right[near], distance[near]
    order = np.lexsort((distance, left))
    _, first = np.unique(left[order], return_index=True)
    best = order[first]
    return left[best], right[best], distance[best]


def _moved(
    ra_deg: np.ndarray, dec_deg: np.ndarray, pmra: np.ndarray, pmdec: np.ndarray, years: Any
) -> np.ndarray:
    """Return unit vectors of stars after a number of years of straight motion; correct at the poles too."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=-1)
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)], axis=-1)
    per_mas = np.radians(1.0 / 3.6e6)
    step = np.asarray(years)[..., None] * per_mas
    moved = unit_vectors(ra_deg, dec_deg) + step * (pmra[:, None] * east + pmdec[:, None] * north)
    return moved / np.linalg.norm(moved, axis=-1, keepdims=True)


def float_column(frame: "pd.DataFrame", name: str) -> np.ndarray:
    """Return a column as float64, NaN where it is missing."""
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _epochs_yr(frame: "pd.DataFrame", survey: MatchedSurvey) -> np.ndarray:
    """Return the Julian year of each object; the survey's usual one where it is missing or a sentinel."""
    if survey.epoch is None:
        return np.full(len(frame), survey.usual_epoch_yr)
    days = float_column(frame, survey.epoch)
    zero = 51544.5 if survey.epoch_unit == "mjd" else 2451545.0
    years = 2000.0 + (days - zero) / 365.25
    with np.errstate(invalid="ignore"):
        return np.where((years > 1990.0) & (years < 2030.0), years, survey.usual_epoch_yr)
