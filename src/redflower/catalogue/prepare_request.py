"""What is asked of the preparation of stars."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from redflower.catalogue.maps.dust_map import DustMap
from redflower.catalogue.maps.dustmaps_map import QueriedMap, open_dust_map
from redflower.catalogue.quality.limits import Purpose, QualityLimits
from redflower.catalogue.quality.zero_point import ZeroPoint
from redflower.catalogue.reading.column_map import ColumnMap
from redflower.catalogue.reading.reader import Duplicates
from redflower.constants import TRAINING_EBV_MAX_MAG
from redflower.errors import InputError
from redflower.photometric_scales import PhotometricScale
from redflower.survey import Survey


@dataclass(frozen=True)
class PrepareRequest:
    """What is asked of `prepare`, beside the stars.

    Attributes
    ----------
    purpose, columns, photometry, limits, zero_point, ebv_map, ebv_map_scale, ebv_map_checksum, ebv_max_mag, duplicates, keep : as
        of `prepare`.
    surveys : further ones, as of `prepare`.
    solutions_told : whether the whole table tells the kinds of astrometric solutions. If None, whether its stars do.

    Raises
    ------
    InputError
        If the purpose is another, or a number is none that can be.
    """

    purpose: Purpose
    columns: "str | Path | ColumnMap | None" = None
    photometry: "PhotometricScale | str | None" = None
    limits: QualityLimits = field(default_factory=QualityLimits)
    zero_point: ZeroPoint = "auto"
    ebv_map: "str | Path | DustMap | QueriedMap | None" = None
    ebv_map_scale: float = 1.0
    ebv_map_checksum: str | None = None
    ebv_max_mag: float = TRAINING_EBV_MAX_MAG
    duplicates: Duplicates = "error"
    keep: tuple[str, ...] = ()
    surveys: tuple[Survey, ...] = ()
    solutions_told: bool | None = None

    def __post_init__(self) -> None:
        if self.purpose not in get_args(Purpose):
            raise InputError(f"prepare(purpose) must be 'training' or 'inference'; got {self.purpose!r}.")
        if not self.ebv_max_mag > 0:
            raise InputError(f"ebv_max_mag must be positive; got {self.ebv_max_mag!r}.")
        if self.ebv_map_checksum is not None and not isinstance(self.ebv_map, (str, Path)):
            raise InputError("prepare: ebv_map_checksum is of the dust map's file; ebv_map names none.")

    def with_map_open(self) -> "PrepareRequest":
        """Return the request with its dust map read."""
        if not isinstance(self.ebv_map, (str, Path)):
            return self
        dust = open_dust_map(self.ebv_map, scale=self.ebv_map_scale, checksum=self.ebv_map_checksum)
        return replace(self, ebv_map=dust, ebv_map_checksum=None)
