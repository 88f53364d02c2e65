"""The edge between files and tables and the arrays of the core: reading, checking, preparing, writing."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.catalogue.io.tables import ENDINGS as ENDINGS
    from redflower.catalogue.io.tables import check_writable as check_writable
    from redflower.catalogue.io.tables import count_rows as count_rows
    from redflower.catalogue.io.tables import join_tables as join_tables
    from redflower.catalogue.io.tables import read_table as read_table
    from redflower.catalogue.io.tables import read_table_parts as read_table_parts
    from redflower.catalogue.io.tables import write_table as write_table
    from redflower.catalogue.maps.distance_prior import DistancePrior as DistancePrior
    from redflower.catalogue.maps.distance_prior import choose_distance_prior as choose_distance_prior
    from redflower.catalogue.maps.distance_prior import default_distance_prior as default_distance_prior
    from redflower.catalogue.maps.distance_prior import (
        distance_prior_or_fallback as distance_prior_or_fallback,
    )
    from redflower.catalogue.maps.distance_prior import named_distance_prior as named_distance_prior
    from redflower.catalogue.maps.distance_prior import packaged_distance_prior as packaged_distance_prior
    from redflower.catalogue.maps.distance_prior import read_distance_prior as read_distance_prior
    from redflower.catalogue.maps.dust_map import DustMap as DustMap
    from redflower.catalogue.maps.dust_map import read_dust_map as read_dust_map
    from redflower.catalogue.maps.dustmaps_map import open_dust_map as open_dust_map
    from redflower.catalogue.prepare import PreparedStars as PreparedStars
    from redflower.catalogue.prepare import prepare as prepare
    from redflower.catalogue.prepared import is_prepared as is_prepared
    from redflower.catalogue.prepared import prepared_error_name as prepared_error_name
    from redflower.catalogue.prepared import require_prepared as require_prepared
    from redflower.catalogue.quality.cuts import BandCut as BandCut
    from redflower.catalogue.quality.limits import QualityLimits as QualityLimits
    from redflower.catalogue.quality.report import Cut as Cut
    from redflower.catalogue.quality.report import CutReport as CutReport
    from redflower.catalogue.quality.summary import SampleSummary as SampleSummary
    from redflower.catalogue.quality.summary import summarise as summarise
    from redflower.catalogue.quality.zero_point import ZeroPointStatus as ZeroPointStatus
    from redflower.catalogue.quality.zero_point import parallax_zero_point as parallax_zero_point
    from redflower.catalogue.reading.column_map import ColumnMap as ColumnMap
    from redflower.catalogue.reading.column_map import read_column_map as read_column_map
    from redflower.catalogue.reading.reader import read_stars as read_stars
    from redflower.catalogue.reading.schema import INPUT_COLUMNS as INPUT_COLUMNS
    from redflower.catalogue.reading.schema import InputColumn as InputColumn
    from redflower.catalogue.stars import StarBatch as StarBatch
    from redflower.catalogue.stars import to_stars as to_stars
    from redflower.constants import TRAINING_EBV_MAX_MAG as TRAINING_EBV_MAX_MAG
    from redflower.files import file_sha256 as file_sha256
    from redflower.provenance import META_KEY as META_KEY

lazy_names(__name__)
