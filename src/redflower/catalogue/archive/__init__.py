"""Real stars from a TAP archive: regions, queries, patience, manifests."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.catalogue.archive.adql import SURVEYS as SURVEYS
    from redflower.catalogue.archive.adql import count_query as count_query
    from redflower.catalogue.archive.adql import parse_surveys as parse_surveys
    from redflower.catalogue.archive.adql import tile_query as tile_query
    from redflower.catalogue.archive.defaults import GAIA_TAP as GAIA_TAP
    from redflower.catalogue.archive.defaults import TILE_ROWS_MAX as TILE_ROWS_MAX
    from redflower.catalogue.archive.fetch import FetchResult as FetchResult
    from redflower.catalogue.archive.fetch import Source as Source
    from redflower.catalogue.archive.fetch import fetch_tiles as fetch_tiles
    from redflower.catalogue.archive.patience import Patience as Patience
    from redflower.catalogue.archive.regions import TILE_ORDER as TILE_ORDER
    from redflower.catalogue.archive.regions import ZERO_EXTINCTION as ZERO_EXTINCTION
    from redflower.catalogue.archive.regions import Cone as Cone
    from redflower.catalogue.archive.regions import Tile as Tile
    from redflower.catalogue.archive.regions import cone_tiles as cone_tiles
    from redflower.catalogue.archive.regions import expected_stars as expected_stars
    from redflower.catalogue.archive.regions import parse_region as parse_region
    from redflower.catalogue.archive.regions import zero_extinction_tiles as zero_extinction_tiles
    from redflower.catalogue.archive.spectra_source import SpectraSource as SpectraSource
    from redflower.catalogue.archive.spectra_source import star_tiles as star_tiles
    from redflower.catalogue.archive.tap import TapService as TapService
    from redflower.catalogue.archive.tap_schema import check_names as check_names
    from redflower.catalogue.archive.tap_source import TapSource as TapSource

lazy_names(__name__)
