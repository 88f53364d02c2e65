"""The limits of the cuts, and what a sample is cut for."""

from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal

from redflower.bands import SURVEY_ENDS
from redflower.constants import LATITUDE_MIN_DEG
from redflower.errors import InputError

#: The worst rank of a Pan-STARRS1 measurement.
RANK_WORST: Final = 4

Purpose = Literal["training", "inference"]


@dataclass(frozen=True)
class QualityLimits:
    """The limits of the cuts; None leaves a cut out.

    Attributes
    ----------
    g_bright_mag, g_faint_mag : limits in observed G, between which the sample is complete enough for the Malmquist
        term; the model of a training sample keeps them. A star without G, which only inference takes, passes. [mag]
    ruwe_max : upper limit of RUWE.
    visibility_periods_min : least number of visibility periods.
    g_observations_min : least number of G observations.
    latitude_min_deg : lower limit of |b|. [deg]
    parallax_min_mas : training stars must have a parallax above this, zero point removed. None, the default, keeps all: a
        parallax below 0 is a measurement like any other, and 11 % of the stars to G = 20.5 have one. 0 is the cut of the
        paper; training then accounts for the stars that it lost (docs/explanation/model.md, E24b). [mas]
    five_parameter_only : whether only five-parameter solutions are kept.
    tmass_aaa_only : whether 2MASS bands count only with photometric quality AAA.
    ps1_unsaturated_only : whether PS1 bands count only fainter than saturation.
    ps1_rank_max : PS1 bands count only if measurements of this rank or better made their mean; see
        `redflower.catalogue.quality.band_cuts`. 0 asks for photometric nights and exposures without saturated or bad pixels.
    ps1_good_only : whether PS1 bands count only for objects that PS1 itself calls good.
    unshared_only : whether PS1 and 2MASS bands count only where no other Gaia star has the same counterpart.
    excess_factor_sigma : keep only stars whose corrected excess factor of BP and RP (Riello et al. 2021) is off by less
        than so many of its scatter at their G, or that have none. For this and the following three see
        `redflower.catalogue.quality.named_cuts`; they are off by default.
    bp_signal_min : BP counts only with a flux above so many of its errors.
    no_qso_candidates, no_galaxy_candidates : whether stars that Gaia lists among its candidates are left out.
    complete_to : ``ps1`` or ``2mass``: keep only stars with every band up to that survey, as the paper's two samples.
    """

    g_bright_mag: float | None = 13.5
    g_faint_mag: float | None = 20.5
    ruwe_max: float | None = 2.0
    visibility_periods_min: int | None = 9
    g_observations_min: int | None = 3
    latitude_min_deg: float | None = LATITUDE_MIN_DEG
    parallax_min_mas: float | None = None
    five_parameter_only: bool = True
    tmass_aaa_only: bool = True
    ps1_unsaturated_only: bool = True
    ps1_rank_max: int | None = 0
    ps1_good_only: bool = True
    unshared_only: bool = True
    complete_to: Literal["gaia", "ps1", "2mass"] | None = None
    excess_factor_sigma: float | None = None
    bp_signal_min: float | None = None
    no_qso_candidates: bool = False
    no_galaxy_candidates: bool = False

    def __post_init__(self) -> None:
        low, high = self.g_bright_mag, self.g_faint_mag
        if low is not None and high is not None and not low < high:
            raise InputError(f"the limits in G must rise: g_bright_mag = {low}, g_faint_mag = {high}.")
        if self.latitude_min_deg is not None and not 0.0 <= self.latitude_min_deg < 90.0:
            raise InputError(f"latitude_min_deg must lie in 0 to 90; got {self.latitude_min_deg}.")
        if self.parallax_min_mas is not None and not isfinite(self.parallax_min_mas):
            raise InputError(
                f"parallax_min_mas must be finite, or None for no cut; got {self.parallax_min_mas}."
            )
        if self.ps1_rank_max is not None and self.ps1_rank_max not in range(RANK_WORST + 1):
            raise InputError(f"ps1_rank_max must be a rank from 0 to {RANK_WORST}; got {self.ps1_rank_max}.")
        for name in ("excess_factor_sigma", "bp_signal_min"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0.0):
                raise InputError(f"{name} must be a number above 0, or None for no cut; got {value!r}.")
        if self.complete_to is not None and self.complete_to not in SURVEY_ENDS:
            raise InputError(
                f"complete_to must be one of {', '.join(SURVEY_ENDS)}; got {self.complete_to!r}."
            )
