"""The status word and the flags of a star's posterior."""

from enum import IntFlag, StrEnum
from typing import Final

#: Words of the column ``engine``.
FAST: Final = "fast"
IMPORTANCE: Final = "importance"
NUTS: Final = "nuts"
ENGINE_MESSAGES: Final[dict[str, str]] = {
    FAST: "quadrature by the emulator, its check against the exact density passed",
    IMPORTANCE: "importance-weighted draws of the exact density, because the check asked for more",
    NUTS: "chains of the exact density",
}

#: Within this distance of either end of the reddening prior, the prior shapes the posterior. [mag]
EDGE_MAG: Final = 0.01
#: Within this distance of the bright limit, the truncation shapes the posterior. [mag]
BRIGHT_EDGE_MAG: Final = 0.05
#: From this share of the posterior near or outside an edge, the status or a flag says so.
MAX_EDGE_SHARE: Final = 0.10


class Status(StrEnum):
    """One word per star: may the row be used? Anything but `OK` says why to look twice, or not at all."""

    OK = "ok"
    LOW_ESS = "low_ess"
    NOT_CONVERGED = "not_converged"
    DIVERGENT = "divergent"
    BRIGHT_LIMIT = "bright_limit"
    EDGE_OF_PRIOR = "edge_of_prior"
    OUTSIDE_COVERAGE = "outside_coverage"
    NONFINITE = "nonfinite"
    NO_BANDS = "no_bands"
    OUTSIDE_LIMITS = "outside_limits"
    FAILED = "failed"
    OUTLIER = "outlier"


STATUS_MESSAGES: dict[Status, str] = {
    Status.OK: "the posterior was sampled well and lies inside the prior and the model's coverage",
    Status.LOW_ESS: "too few effective draws (fewer than 100 of NUTS, or weights that did not settle): moments are noisy",
    Status.NOT_CONVERGED: "chains disagree (split R-hat above 1.05): a second mode, or too few draws",
    Status.DIVERGENT: "more than 1 % of the trajectories diverged: part of the posterior may be missed",
    Status.EDGE_OF_PRIOR: "more than 10 % of the posterior lies within 0.01 mag of an end of the reddening prior",
    Status.BRIGHT_LIMIT: (
        "more than 10 % of the posterior lies within 0.05 mag of the sample's bright limit, which cuts it off: the star "
        "may be in the sample only because dust dims it, and its reddening may be far larger than stated"
    ),
    Status.OUTSIDE_COVERAGE: "the star's (R, Z) is where the model had no training stars",
    Status.NONFINITE: "data or density are not finite; nothing was inferred",
    Status.NO_BANDS: (
        "fewer than three bands of the model, or no G where stars are not passed to NUTS; nothing was inferred"
    ),
    Status.FAILED: "an error stopped the part of the table that holds the star; nothing was inferred",
    Status.OUTLIER: (
        "more probably not a star of the population than one (column p_outlier): a quasar, a galaxy, a bad match, a blend; the "
        "numbers are what holds if it is a star all the same"
    ),
    Status.OUTSIDE_LIMITS: "apparent G outside the model's magnitude limits; nothing was inferred",
}


class Flag(IntFlag):
    """Bits of the column ``flags``; they add up."""

    MISSING_BAND = 1
    NO_PARALLAX = 2
    ENTERED_BY_EXTINCTION = 4
    LOW_FLOW_PROBABILITY = 8
    COEFFICIENT_OUT_OF_RANGE = 16
    OUTSIDE_COVERAGE = 32
    LOW_LATITUDE = 64
    BEYOND_LIMITS = 128


FLAG_MESSAGES: dict[Flag, str] = {
    Flag.MISSING_BAND: "at least one band of the model is missing; it was integrated over or left out exactly",
    Flag.NO_PARALLAX: "no parallax: distance comes from photometry and prior alone",
    Flag.ENTERED_BY_EXTINCTION: (
        "without all the dust that there may be towards it (--ebv-limit, else the map that prepare was given, else the end "
        "of the reddening prior) the star would be brighter than the sample's bright limit "
        "(O'Callaghan et al. 2025, section 2.9.2)"
    ),
    Flag.LOW_FLOW_PROBABILITY: "the star is unlike nearly every training star, whatever its reddening",
    Flag.COEFFICIENT_OUT_OF_RANGE: "an extinction coefficient was clipped to the range in which it was measured",
    Flag.OUTSIDE_COVERAGE: "the star's (R, Z) is where the model had no training stars",
    Flag.LOW_LATITUDE: "|b| < 20 deg, outside what the method is meant for",
    Flag.BEYOND_LIMITS: (
        "no G, so that the sample's magnitude limits do not apply, and more than 10 % of the posterior has an unreddened G "
        "beyond them, where the flow saw no training stars"
    ),
}
