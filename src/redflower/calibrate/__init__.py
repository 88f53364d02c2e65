"""Per-band offsets of a sample against a model, with each star's reddening, distance and colours integrated over."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.calibrate.offsets import OffsetFit as OffsetFit
    from redflower.calibrate.offsets import fit_offsets as fit_offsets
    from redflower.calibrate.sample import DustHold as DustHold
    from redflower.calibrate.sample import choose_stars as choose_stars
    from redflower.calibrate.settings import CalibrationSettings as CalibrationSettings

lazy_names(__name__)
