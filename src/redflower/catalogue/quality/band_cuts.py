"""Conditions on single bands of a star: what surveys say of their own measurements.

Pan-STARRS1 averages, band by band, the best-ranked of its measurements of an object, and keeps the rank in the flags of
the mean (``ID_SECF_RANK_0`` to ``_4`` of its pipeline's ``relphot``): 0 is a measurement without any mark; 1 and 2 come
from nights and exposures that were not photometric; 3 has bad or suspect pixels in more than 15 % of the profile; 4 has
poor detection flags. A mean without any rank rests on worse: saturated stars, cosmic rays, rejected exposures. So rank
0 alone is what O'Callaghan et al. 2025, section 3.2, ask for ("exclude all PS1 photometry flagged as unphotometric,
saturated, or containing bad pixels").
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Float

from redflower.bands import BP, BandSet
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.quality.limits import RANK_WORST, QualityLimits
from redflower.catalogue.quality.named_cuts import bp_signal
from redflower.survey import Survey

#: Where Pan-STARRS1 saturates (O'Callaghan et al. 2025, section 3.2; Chambers et al. 2016). [mag]
PS1_SATURATION_MAG: Final[dict[str, float]] = {
    "ps1_g": 13.5, "ps1_r": 13.5, "ps1_i": 13.5, "ps1_z": 13.0, "ps1_y": 12.0,
}  # fmt: skip

#: Bit of each rank in the flags of a mean magnitude (Flewelling et al. 2020, ApJS 251, 7, ObjectFilterFlags).
_RANK_BITS: Final = tuple(0x100 << rank for rank in range(RANK_WORST + 1))
#: The mean holds synthetic photometry, which bright stars get.
_USE_SYNTHETIC: Final = 0x4
#: ObjectQualityFlags, QF_OBJ_GOOD: a good-quality measurement in the survey's own data.
_OBJECT_GOOD: Final = 0x4

Condition = tuple[str, str, str, Bool[np.ndarray, "star band"]]


def band_conditions(
    stars: Table, magnitude_mag: Float[np.ndarray, "star band"], limits: QualityLimits, bands: BandSet
) -> Iterator[Condition]:
    """Yield the cuts on standard bands that the table's columns allow: name, condition, survey, and where it is *not* met."""
    ps1 = np.array([band.survey == "ps1" for band in bands])
    tmass = np.array([band.survey == "2mass" for band in bands])
    everywhere = np.zeros(magnitude_mag.shape, dtype=bool)
    if limits.bp_signal_min is not None:
        with np.errstate(invalid="ignore"):
            weak = bp_signal(stars) <= limits.bp_signal_min
        is_bp = np.arange(len(bands)) == BP
        yield (
            "BP signal",
            f"a BP flux above {limits.bp_signal_min:g} of its errors",
            "gaia",
            weak[:, None] & is_bp,
        )
    if limits.ps1_unsaturated_only:
        bright = np.array([PS1_SATURATION_MAG.get(band.name, -np.inf) for band in bands])
        with np.errstate(invalid="ignore"):
            yield (
                "Pan-STARRS1 saturation",
                "magnitudes fainter than saturation",
                "ps1",
                magnitude_mag < bright,
            )
    flags = [f"ps1_{band.label}_flags" for band in bands if band.survey == "ps1"]
    if limits.ps1_rank_max is not None and any(name in stars.colnames for name in flags):
        poor = everywhere.copy()
        wanted = sum(_RANK_BITS[: limits.ps1_rank_max + 1])
        for i, band in enumerate(bands):
            name = f"ps1_{band.label}_flags"
            if band.survey == "ps1" and name in stars.colnames:
                value = _bits(stars, name)
                poor[:, i] = ((value & wanted) == 0) | ((value & _USE_SYNTHETIC) != 0)
        ranks = "rank 0" if limits.ps1_rank_max == 0 else f"rank {limits.ps1_rank_max} or better"
        what = " (photometric, unsaturated, no bad pixels)" if limits.ps1_rank_max == 0 else ""
        yield "Pan-STARRS1 flags", f"a mean of measurements of {ranks}{what}", "ps1", poor
    if limits.ps1_good_only and "ps1_quality_flag" in stars.colnames:
        bad = (_bits(stars, "ps1_quality_flag") & _OBJECT_GOOD) == 0
        yield "Pan-STARRS1 object", "an object flagged good", "ps1", bad[:, None] & ps1
    if limits.unshared_only and "ps1_number_of_mates" in stars.colnames:
        shared = as_floats(stars, "ps1_number_of_mates") > 0
        yield "Pan-STARRS1 mates", "a counterpart of their own in Pan-STARRS1", "ps1", shared[:, None] & ps1
    if limits.tmass_aaa_only and "ph_qual" in stars.colnames:
        poor_quality = np.char.strip(np.asarray(stars["ph_qual"]).astype(str)) != "AAA"
        yield "2MASS quality", "photometric quality AAA", "2mass", poor_quality[:, None] & tmass
    if limits.unshared_only and "tmass_number_of_mates" in stars.colnames:
        shared = as_floats(stars, "tmass_number_of_mates") > 0
        yield "2MASS mates", "a counterpart of their own in 2MASS", "2mass", shared[:, None] & tmass


def flag_conditions(
    stars: Table, magnitude_mag: Float[np.ndarray, "star band"], bands: BandSet, surveys: tuple[Survey, ...]
) -> Iterator[Condition]:
    """Yield the cuts that survey files state and the table's columns allow, as `band_conditions` does."""
    for survey in surveys:
        places = [i for i, band in enumerate(bands) if band.survey == survey.survey]
        for cut in survey.cuts if places else ():
            if cut.column not in stars.colnames:
                continue
            poor = np.zeros(magnitude_mag.shape, dtype=bool)
            chosen = [i for i in places if not cut.of_bands or bands[i].name in cut.of_bands]
            if cut.kind == "number":
                kept = np.isin(as_floats(stars, cut.column), [float(value) for value in cut.keep])
                poor[:, chosen] = ~kept[:, None]
            else:
                text = np.char.strip(np.asarray(stars[cut.column]).astype(str))
                for i in chosen:
                    at = dict(cut.places).get(bands[i].name)
                    letters = (
                        text if at is None else np.array([value[at : at + 1] for value in text], dtype=str)
                    )
                    poor[:, i] = ~np.isin(letters, cut.keep)
            yield cut.name, cut.condition, survey.survey, poor


def _bits(stars: Table, name: str) -> np.ndarray:
    """Return the flags as integers; a missing value has no bit, so it vouches for nothing."""
    return np.nan_to_num(as_floats(stars, name), nan=0.0).astype(np.int64)
