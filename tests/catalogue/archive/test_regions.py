"""Regions as HEALPix tiles: ranges of source_id, what they cover, and the ADQL of a tile."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy_healpix import HEALPix
from queryparser.adql import ADQLQueryTranslator

from redflower.catalogue import INPUT_COLUMNS, DustMap
from redflower.catalogue.archive import (
    Cone,
    cone_tiles,
    count_query,
    expected_stars,
    parse_region,
    parse_surveys,
    tile_query,
    zero_extinction_tiles,
)
from redflower.catalogue.archive.adql import NEIGHBOUR_HELPER, TMASS_HELPERS
from redflower.catalogue.archive.regions import id_range
from redflower.catalogue.releases import releases
from redflower.errors import FetchError, InputError
from redflower.surveys import shipped_surveys
from tests.cli.test_commands import run
from tests.helpers.made_archive import source_ids
from tests.helpers.sesame_server import sesame_server


def test_real_source_ids_hold_their_pixel(shared_data):
    """Gaia's identifiers of M67 against their positions: a star near a border may have crossed it since."""
    stars = Table.read(shared_data / "m67_gaiadr2_ps1_2mass.fits")
    ids = np.asarray(stars["gaia_dr2_source.source_id"], np.int64)
    ra, dec = (np.asarray(stars[f"gaia_dr2_source.{name}"], float) * u.deg for name in ("ra", "dec"))
    good = ids > 0
    for order in (5, 9):
        pixels = HEALPix(2**order, order="nested").lonlat_to_healpix(ra[good], dec[good])
        ranges = np.array([id_range(order, int(p)) for p in pixels])
        inside = (ids[good] >= ranges[:, 0]) & (ids[good] <= ranges[:, 1])
        assert inside.mean() > 0.99, order
    assert id_range(12, 1)[0] == 2**35


def test_the_named_regions_are_those_of_the_paper():
    two, one = parse_region("two-cloud"), parse_region("one-cloud")
    assert (two.l_deg, two.b_deg, two.radius_deg) == (104.08, 22.31, 0.16)
    assert (one.l_deg, one.b_deg, one.radius_deg) == (103.9, 21.97, 0.16)
    # The centres that the authors' public code queries.
    assert two.centre == pytest.approx((294.46007047, 72.23165519), abs=1e-7)
    assert one.centre == pytest.approx((295.31396796, 71.95873259), abs=1e-7)
    assert two.area_deg2 == pytest.approx(np.pi * 0.16**2, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("everywhere", "must be two-cloud"),
        ("cone:1,2", "cone:L,B,RADIUS"),
        ("cone:1,2,x", "cone:L,B,RADIUS"),
        ("cone:1,95,1", "b within 90"),
        ("cone:1,30,0", "radius above 0"),
        ("cone:1,30,inf", "radius above 0"),
        ("icrs:1,95,1", "declination within 90"),
        ("icrs:1,2", "icrs:RA,DEC,RADIUS"),
        ("name:M67", "name:OBJECT,RADIUS"),
        ("name:,0.5", "name:OBJECT,RADIUS"),
    ],
)
def test_impossible_regions_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_region(text)


def test_a_circle_may_be_given_in_either_frame():
    galactic, equatorial = (
        parse_region("cone:104.08,22.31,0.16"),
        parse_region("icrs:294.46007047,72.23165519,0.16"),
    )
    assert equatorial.centre == pytest.approx(galactic.centre, abs=1e-6)
    assert [tile.ranges for tile in cone_tiles(equatorial)] == [tile.ranges for tile in cone_tiles(galactic)]


def test_an_object_is_asked_of_sesame_by_its_name():
    with sesame_server() as (url, asked):
        cone = parse_region("name:NGC 2682,0.5", sesame=(url,))
        assert asked == ["SNV?NGC 2682"]
        assert cone.centre == pytest.approx((132.846, 11.814), abs=1e-6)
        assert cone.radius_deg == 0.5
        assert parse_region(cone.name).centre == pytest.approx(cone.centre, abs=1e-5)
        with pytest.raises(FetchError, match="the place of 'M 1000' is not known.*icrs:RA,DEC,RADIUS"):
            parse_region("name:M 1000,0.5", sesame=(url,))
    with pytest.raises(FetchError, match="is not known: All Sesame queries failed"):
        parse_region("name:M67,0.5", sesame=(url,))


def test_fetch_takes_a_name_and_says_where_it_is(capsys, monkeypatch, tmp_path):
    with sesame_server() as (url, _):
        code, out, err = run(
            capsys,
            monkeypatch,
            "fetch",
            tmp_path / "m67.parquet",
            "--region",
            "name:M67,0.5",
            "--sesame",
            url,
            "--dry-run",
        )
    assert code == 0
    assert "name:M67,0.5 is icrs:132.84600,11.81400,0.5" in " ".join(err.split())
    assert "132.846" in out


@pytest.mark.parametrize("radius_deg", [0.05, 0.16, 1.0, 6.0])
@pytest.mark.parametrize("b_deg", [22.31, -89.0])
def test_the_tiles_of_a_cone_hold_all_of_it_once(radius_deg, b_deg):
    cone = Cone(name="c", l_deg=104.08, b_deg=b_deg, radius_deg=radius_deg)
    tiles = cone_tiles(cone)
    rng = np.random.default_rng(0)
    centre = SkyCoord(104.08, b_deg, unit="deg", frame="galactic").icrs
    inside = centre.directional_offset_by(
        rng.uniform(0, 360, 2000) * u.deg, radius_deg * np.sqrt(rng.uniform(size=2000)) * u.deg
    )
    ids = source_ids(inside.ra.deg, inside.dec.deg)
    held = sum(((ids >= a) & (ids <= b)).astype(int) for tile in tiles for a, b in tile.ranges)
    assert (held == 1).all()
    assert len(tiles) < 80
    parts = [part for tile in tiles for part in tile.split()]
    held = sum(((ids >= a) & (ids <= b)).astype(int) for part in parts for a, b in part.ranges)
    assert (held == 1).all(), "splitting loses and doubles nothing"


def cap_map(nside: int = 32, scale: float = 1.0) -> DustMap:
    """0.01 mag within 20 deg of l, b = 100, +60 and 0.05 mag elsewhere."""
    lon, lat = HEALPix(nside, order="ring").healpix_to_lonlat(np.arange(12 * nside**2))
    away = SkyCoord(lon, lat, frame="galactic").separation(SkyCoord(100, 60, unit="deg", frame="galactic"))
    return DustMap(
        ebv_mag=np.where(away.deg < 20, 0.01, 0.05) * scale,
        nside=nside,
        order="ring",
        frame="galactic",
        name="cap",
        sha256="0" * 64,
        notes=(),
    )


def test_zero_extinction_tiles_hold_every_star_that_the_map_allows():
    dust = cap_map()
    tiles = zero_extinction_tiles(dust, ebv_max_mag=0.018)
    rng = np.random.default_rng(1)
    l_deg, b_deg = rng.uniform(0, 360, 40000), np.degrees(np.arcsin(rng.uniform(-1, 1, 40000)))
    stars = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic").icrs
    ids = source_ids(stars.ra.deg, stars.dec.deg)
    held = sum(((ids >= a) & (ids <= b)).astype(int) for tile in tiles for a, b in tile.ranges)
    ebv = dust.lookup(stars.ra.deg, stars.dec.deg, l_deg, b_deg)
    allowed = (ebv < 0.018) & (np.abs(b_deg) > 20) & (stars.dec.deg > -30)
    assert held.max() == 1
    # A corner of a map pixel may fall between the 16 points of a cell; such stars are a few in a thousand.
    assert held[allowed].mean() > 0.995
    assert held[~allowed].mean() < 0.01, "cells at the border hold little else"
    area = sum(tile.area_deg2 for tile in tiles)
    assert area == pytest.approx(41253 * (1 - np.cos(np.radians(20))) / 2, rel=0.05)
    assert 0.3 < expected_stars(tiles) / (area * 3500) < 3


def test_a_limit_that_nothing_meets_is_refused():
    with pytest.raises(InputError, match="no part of the sky"):
        zero_extinction_tiles(cap_map(8, scale=10.0), ebv_max_mag=0.018)


def test_a_map_in_equatorial_coordinates_gives_the_same_sky():
    galactic = cap_map()
    lon, lat = HEALPix(64, order="nested").healpix_to_lonlat(np.arange(12 * 64**2))
    icrs = SkyCoord(lon, lat)
    values = galactic.lookup(icrs.ra.deg, icrs.dec.deg, icrs.galactic.l.deg, icrs.galactic.b.deg)
    equatorial = DustMap(
        ebv_mag=values, nside=64, order="nested", frame="icrs", name="cap", sha256="0" * 64, notes=()
    )
    areas = [
        sum(t.area_deg2 for t in zero_extinction_tiles(m, ebv_max_mag=0.018)) for m in (galactic, equatorial)
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.03)


def test_long_lists_of_ranges_are_shortened_by_filling_the_smallest_gaps():
    from redflower.catalogue.archive.regions import _RANGES_MAX, _runs

    cells = np.sort(np.random.default_rng(2).choice(4096, 1500, replace=False))
    runs = _runs(cells)
    assert len(runs) == _RANGES_MAX
    assert all(any(a <= c <= b for a, b in runs) for c in cells)
    assert _runs(np.array([3, 4, 5, 9])) == [(3, 5), (9, 9)]


def columns_of_further_surveys(fetched: tuple[str, ...]) -> list[set[str]]:
    """The spellings of every column that `prepare --survey` reads of the surveys that are fetched where they are named."""
    columns: list[set[str]] = []
    for survey in shipped_surveys().values():
        if survey.by_default or survey.survey not in fetched:
            continue
        for band in survey.bands:
            columns.append({band.magnitude_column, *band.magnitude_aliases})
            for own, aliases in (
                (band.error_column, band.error_aliases),
                (band.flux_column, ()),
                (band.flux_error_column, ()),
            ):
                if own is not None:
                    columns.append({own, *aliases})
        columns += [{cut.column, *cut.aliases} for cut in survey.cuts]
    return columns


@pytest.mark.parametrize("name", [name for name, release in releases().items() if release.table])
def test_every_column_that_is_asked_for_is_one_that_prepare_reads(name):
    tile, release = cone_tiles(parse_region("two-cloud"))[0], releases()[name]
    query = tile_query(tile, release.all_surveys, release=release)
    columns = query.split("FROM")[0].removeprefix("SELECT").replace("\n", " ").split(",")
    names = {c.split(" AS ")[-1].split(".")[-1].strip() for c in columns}
    names = {release.ours(theirs) for theirs in names} - {*TMASS_HELPERS, NEIGHBOUR_HELPER, "dr3_source_id"}
    of_surveys = columns_of_further_surveys(release.all_surveys)
    known = {name.lower() for spellings in of_surveys for name in spellings}
    assert {n.lower() for n in names - set(INPUT_COLUMNS)} <= known
    missing = [
        spellings
        for spellings in of_surveys
        if not {s.lower() for s in spellings} & {n.lower() for n in names}
    ]
    assert not missing
    of_rule = {n: spec for n, spec in INPUT_COLUMNS.items() if spec.serves in (None, release.zero_point.rule)}
    wanted = {n for n in of_rule if not n.endswith(("mean_mag_error", "_over_error"))}
    if not release.excess_factor:  # the cuts by name are known for DR3 only
        wanted -= {n for n, spec in INPUT_COLUMNS.items() if spec.for_a_named_cut}
    # Further surveys are fetched with the releases that are matched with them.
    wanted -= {
        n for n, spec in INPUT_COLUMNS.items() if spec.of_survey and "allwise" not in release.all_surveys
    }
    assert wanted <= names


def test_an_adql_grammar_accepts_every_form_of_the_queries():
    tile = cone_tiles(parse_region("one-cloud"))[0]
    for query in (
        tile_query(tile, ("gaia",)),
        count_query(tile, 20.5),
        count_query(zero_extinction_tiles(cap_map(8), ebv_max_mag=0.018)[0]),
    ):
        assert ADQLQueryTranslator(query).to_postgresql().startswith("SELECT")


def test_surveys_are_read_in_any_order():
    assert parse_surveys("2MASS, ps1") == ("gaia", "ps1", "2mass")
    assert parse_surveys("skymapper,sdss") == ("gaia", "sdss", "skymapper")
    with pytest.raises(InputError, match="unknown ukidss"):
        parse_surveys("gaia,ukidss")
