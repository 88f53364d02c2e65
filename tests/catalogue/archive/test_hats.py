"""HATS catalogues made on disk, read and matched through LSDB: epochs, margins, column names."""

import dataclasses

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time

from redflower.catalogue import QualityLimits, prepare, read_table
from redflower.catalogue.archive import SURVEYS, cone_tiles, fetch_tiles, parse_region, zero_extinction_tiles
from redflower.catalogue.archive.epoch_match import match_at_epoch
from redflower.catalogue.archive.hats import HatsSource, hats_surveys, parse_catalogues
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.maps.dust_map import DustMap
from redflower.catalogue.releases import releases
from redflower.errors import InputError
from tests.helpers.dr4_draft import RENUMBERED, as_dr4
from tests.helpers.made_archive import MadeArchive, made_archive

lsdb = pytest.importorskip("lsdb", reason="the extra `scale` is not installed")

CONE = "cone:104.08,22.31,0.25"
#: Stars that move: 2.5 arcsec a year, so that they are 40 arcsec away in 2MASS.
FAST = (8, 16)


def moved(stars: Table, rows: np.ndarray, year: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of stars at another epoch, by astropy."""
    at = SkyCoord(
        np.asarray(stars["ra"])[rows] * u.deg, np.asarray(stars["dec"])[rows] * u.deg,
        pm_ra_cosdec=np.asarray(stars["pmra"])[rows] * u.mas / u.yr,
        pm_dec=np.asarray(stars["pmdec"])[rows] * u.mas / u.yr, obstime=Time(2016.0, format="jyear"),
        distance=np.full(len(rows), 1000.0) * u.pc,
    ).apply_space_motion(Time(year, format="jyear"))  # fmt: skip
    return at.ra.deg, at.dec.deg


@pytest.fixture(scope="module")
def archive() -> MadeArchive:
    made = made_archive(300)
    gaia = made.tables["gaiadr3.gaia_source"]
    for row in FAST:
        gaia["pmra"][row], gaia["pmdec"][row] = 1500.0, -2000.0
    return made


@pytest.fixture(scope="module")
def catalogues(archive: MadeArchive, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same made sky as HATS collections under the column names of the public ones, in many small partitions."""
    folder = tmp_path_factory.mktemp("hats")
    gaia = archive.tables["gaiadr3.gaia_source"]
    tables = {"gaia": gaia.to_pandas()}

    px, ps1 = (
        archive.tables["gaiadr3.panstarrs1_best_neighbour"],
        archive.tables["gaiadr2.panstarrs1_original_valid"],
    )
    row_of = {int(s): i for i, s in enumerate(gaia["source_id"])}
    # The object that two stars share in the archive's table is matched by position here: to its own star alone.
    rows = np.array([row_of[int(s)] for s in px["source_id"]])
    frame = ps1.to_pandas()
    names = {"obj_id": "objID", "quality_flag": "qualityFlag"}
    for b in "grizy":
        names |= {
            f"{b}_mean_psf_mag": f"{b}MeanPSFMag",
            f"{b}_mean_psf_mag_error": f"{b}MeanPSFMagErr",
            f"{b}_flags": f"{b}Flags",
        }
    frame = frame.rename(columns=names).drop(columns=["ra", "dec"])
    frame["raMean"], frame["decMean"] = moved(gaia, rows, 2012.3)
    frame["epochMean"] = Time(2012.3, format="jyear").mjd
    tables["ps1"] = frame

    tx, tmass = (
        archive.tables["gaiadr3.tmass_psc_xsc_best_neighbour"],
        archive.tables["gaiadr1.tmass_original_valid"],
    )
    rows = np.array([row_of[int(s)] for s in tx["source_id"]])
    frame = tmass[: len(rows)].to_pandas().rename(columns={"ks_m": "k_m", "ks_msigcom": "k_msigcom"})
    frame["ra"], frame["decl"] = moved(gaia, rows, 1999.0)
    frame["jdate"] = Time(1999.0, format="jyear").jd
    # A stranger where a fast star is in 2016: it must not be taken for it.
    stranger = frame.iloc[[0]].copy()
    stranger["ra"], stranger["decl"] = gaia["ra"][FAST[0]], gaia["dec"][FAST[0]]
    stranger["designation"], stranger["j_m"] = "stranger", 5.0
    import pandas as pd

    tables["2mass"] = pd.concat([frame, stranger], ignore_index=True)
    distance = archive.tables["external.gaiaedr3_distance"].to_pandas()
    distance["ra"], distance["dec"] = np.asarray(gaia["ra"]), np.asarray(gaia["dec"])
    tables["distances"] = distance
    position = {
        "gaia": ("ra", "dec"),
        "ps1": ("raMean", "decMean"),
        "2mass": ("ra", "decl"),
        "distances": ("ra", "dec"),
    }
    for name, frame in tables.items():
        ra, dec = position[name]
        catalogue = lsdb.from_dataframe(
            frame, ra_column=ra, dec_column=dec, catalog_name=f"c_{name}", partition_rows=90, highest_order=8,
            margin_threshold=60.0,
        )  # fmt: skip
        assert len(catalogue.get_healpix_pixels()) > 2
        catalogue.write_catalog(folder / name, catalog_name=f"c_{name}", progress_bar=False)
    return {name: str(folder / name) for name in tables}


def expected_rows(archive: MadeArchive, region: str = CONE) -> Table:
    cone = parse_region(region)
    centre = SkyCoord(cone.l_deg, cone.b_deg, unit="deg", frame="galactic")
    away = SkyCoord(archive.expected["l"], archive.expected["b"], unit="deg", frame="galactic").separation(
        centre
    )
    return archive.expected[away.deg <= cone.radius_deg]


def test_a_cone_from_hats_is_the_cone_from_the_archive(archive, catalogues, tmp_path):
    source = HatsSource(catalogues, SURVEYS)
    result = fetch_tiles(
        tmp_path / "stars.parquet",
        cone_tiles(parse_region(CONE)),
        source,
        surveys=SURVEYS,
        request={"region": CONE},
    )
    found = read_table(result.path)
    found = found[np.argsort(np.asarray(found["source_id"]))]
    expected = expected_rows(archive)
    assert np.array_equal(found["source_id"], expected["source_id"]), (
        "no star of a margin comes twice, none is lost"
    )
    assert set(found.colnames) == set(expected.colnames)
    shared = np.asarray(expected["ps1_number_of_mates"].filled(0) > 0)
    for name in expected.colnames:
        rows = (
            ~shared
            if name.startswith(("ps1_", *(f"{b}_mean" for b in "grizy")))
            else np.ones(len(found), bool)
        )
        wanted = (
            np.ma.masked_invalid(expected[name])
            if expected[name].dtype.kind == "f"
            else np.ma.asarray(expected[name])
        )
        got = (
            np.ma.masked_invalid(found[name]) if found[name].dtype.kind == "f" else np.ma.asarray(found[name])
        )
        if name != "ph_qual":
            assert np.array_equal(np.ma.getmaskarray(got)[rows], np.ma.getmaskarray(wanted)[rows]), name
        gap = np.ma.getmaskarray(wanted) | ~rows
        assert np.array_equal(np.asarray(got)[~gap], np.asarray(wanted)[~gap].astype(got.dtype)), name
        assert found[name].unit == expected[name].unit, name
    fast = np.isin(
        found["source_id"], np.asarray(archive.tables["gaiadr3.gaia_source"]["source_id"])[list(FAST)]
    )
    assert fast.sum() >= 1
    assert (np.asarray(found["j_m"])[fast] > 10).all(), (
        "matched at the epoch of 2MASS, not to the stranger of 2016"
    )
    assert found.meta["redflower"]["request"]["tap"].startswith("hats gaia=")
    prepared = prepare(result.path, purpose="inference", limits=QualityLimits(ruwe_max=None))
    assert np.isfinite(prepared.table["ps1_g"]).sum() > 20


def test_positions_of_dr4_are_matched_at_its_own_epoch(archive, catalogues, tmp_path):
    """The same stars under DR4's names and identifiers, where they stand in 2017.5, have the same counterparts."""
    dr4, dr3 = releases()["dr4"], releases()["dr3"]
    gaia = as_dr4(archive.tables["gaiadr3.gaia_source"], renumber=True)
    gaia["ra"], gaia["dec"] = moved(archive.tables["gaiadr3.gaia_source"], np.arange(len(gaia)), dr4.epoch_yr)
    made = lsdb.from_dataframe(
        gaia.to_pandas(), ra_column="ra", dec_column="dec", catalog_name="c_dr4", partition_rows=90, highest_order=8,
        margin_threshold=60.0,
    )  # fmt: skip
    made.write_catalog(tmp_path / "dr4", catalog_name="c_dr4", progress_bar=False)
    # Identifiers say where a star was; a whole tile has no border that a star may have crossed since.
    tiles = [
        dataclasses.replace(tile, cone=None) for tile in cone_tiles(parse_region("cone:103.9,22.141,0.12"))
    ]
    tables = {}
    for release, path in ((dr3, catalogues["gaia"]), (dr4, str(tmp_path / "dr4"))):
        surveys = hats_surveys(release)
        source = HatsSource({**catalogues, "gaia": path}, surveys, release)
        result = fetch_tiles(
            tmp_path / f"{release.name}.parquet",
            tiles,
            source,
            surveys=surveys,
            request={"release": release.name},
        )
        table = read_table(result.path)
        tables[release.name] = table[np.argsort(np.asarray(table["source_id"]))]
    old, new = tables["dr3"], tables["dr4"]
    assert np.array_equal(new["source_id"], np.asarray(old["source_id"]) + RENUMBERED)
    fast = np.isin(
        old["source_id"], np.asarray(archive.tables["gaiadr3.gaia_source"]["source_id"])[list(FAST)]
    )
    # 2.5 arcsec a year: an epoch wrong by 1.5 years misses by 3.75 arcsec, and within 1 arcsec is nothing.
    assert fast.any(), "so that a wrong epoch shows"
    assert np.isfinite(np.ma.filled(new["j_m"], np.nan))[fast].all()
    for name in ("j_m", "ks_m", "g_mean_psf_mag", "r_med_geo"):
        assert np.array_equal(np.ma.filled(new[name], -1), np.ma.filled(old[name], -1)), name
    assert {"astrometric_params", "tentative_parallax_bias"} <= set(new.colnames)
    assert new["tentative_parallax_bias"].unit == "mas"
    assert new.meta["redflower"]["photometry"]["gaia"] == "dr4"


def test_tiles_of_source_id_ranges_are_cut_exactly(archive, catalogues, tmp_path):
    dust = DustMap(
        ebv_mag=np.full(12 * 64**2, 0.01),
        nside=64,
        order="ring",
        frame="galactic",
        name="clear",
        sha256="",
        notes=(),
    )
    cone = cone_tiles(parse_region(CONE))
    first, last = min(t.ranges[0][0] for t in cone), max(t.ranges[-1][1] for t in cone)
    tiles = [
        t
        for t in zero_extinction_tiles(dust, ebv_max_mag=0.018)
        if t.ranges[0][0] <= last and t.ranges[-1][1] >= first
    ]
    surveys = ("gaia",)
    source = HatsSource(catalogues, surveys)
    result = fetch_tiles(
        tmp_path / "s.parquet",
        tiles,
        source,
        surveys=surveys,
        request={},
        g_faint_mag=18.0,
        tile_rows_max=100,
    )
    gaia = archive.tables["gaiadr3.gaia_source"]
    meant = np.zeros(len(gaia), bool)
    for tile in tiles:
        for a, b in tile.ranges:
            meant |= (np.asarray(gaia["source_id"]) >= a) & (np.asarray(gaia["source_id"]) <= b)
    meant &= np.asarray(gaia["phot_g_mean_mag"]) < 18.0
    assert meant.sum() > 100, "so that a tile has to be split"
    assert np.array_equal(
        np.sort(read_table(result.path)["source_id"]), np.sort(np.asarray(gaia["source_id"])[meant])
    )


def test_a_catalogue_without_margin_or_column_or_at_all_is_refused(archive, catalogues, tmp_path):
    frame = archive.tables["external.gaiaedr3_distance"].to_pandas()
    gaia = archive.tables["gaiadr3.gaia_source"]
    frame["ra"], frame["dec"] = np.asarray(gaia["ra"]), np.asarray(gaia["dec"])
    bare = lsdb.from_dataframe(
        frame, ra_column="ra", dec_column="dec", catalog_name="bare", margin_threshold=None
    )
    bare.write_catalog(tmp_path / "bare", catalog_name="bare", as_collection=False, progress_bar=False)
    with pytest.raises(InputError, match="distances catalogue .* has no margin"):
        HatsSource({**catalogues, "distances": str(tmp_path / "bare")}, SURVEYS)
    with pytest.raises(RefusedError, match="ps1 catalogue .* cannot be opened"):
        HatsSource({**catalogues, "ps1": catalogues["distances"]}, SURVEYS)
    with pytest.raises(RefusedError, match="gaia catalogue .* cannot be opened"):
        HatsSource({**catalogues, "gaia": str(tmp_path / "absent")}, ("gaia",))
    with pytest.raises(InputError, match="names no such catalogue"):
        HatsSource({"gaia": catalogues["gaia"]}, ("ps1",))


def test_the_option_is_read():
    assert parse_catalogues("gaia=/a, ps1=s3://b") == {"gaia": "/a", "ps1": "s3://b"}
    assert set(parse_catalogues("public")) == set(SURVEYS)
    for text in ("ps1=/a", "gaia", "sdss=/a"):
        with pytest.raises(InputError, match="--hats"):
            parse_catalogues(text)


def test_matching_follows_the_epoch_of_the_positions():
    """A star that moves by 1 arcsec a year stood where a counterpart of 2000 is 16 years before 2016, 17.5 before 2017.5."""
    dec, still = np.array([60.0]), np.array([0.0])
    for epoch_yr, years in ((2016.0, 16.0), (2017.5, 17.5)):
        others = (np.array([10.0]), dec - years / 3600, np.array([2000.0]))
        args = (np.array([10.0]), dec, still, np.array([1000.0]), *others, 1.0)
        assert match_at_epoch(*args, epoch_yr)[2][0] == pytest.approx(0.0, abs=1e-6)
        assert match_at_epoch(*args, 4033.5 - epoch_yr)[2].size == 0, "the other release's epoch"


def test_matching_takes_the_nearest_at_the_candidates_own_epoch():
    ra, dec, none = np.array([10.0]), np.array([60.0]), np.array([np.nan])
    arcsec = 1 / 3600
    others = (
        np.array([10.0, 10.0 + 0.4 * arcsec / 0.5]),
        np.array([60.0 + 0.7 * arcsec, 60.0]),
        np.full(2, 2000.0),
    )
    left, right, distance = match_at_epoch(ra, dec, none, none, *others, 1.0, 2016.0)
    assert (left.tolist(), right.tolist()) == ([0], [1])
    assert distance[0] == pytest.approx(0.4, abs=1e-6)
    # A motion of 0.1 arcsec a year to the south: in 2000 it was 1.6 arcsec north of where it is in 2016.
    others = (np.full(2, 10.0), 60.0 + np.array([1.6, 0.1]) * arcsec, np.array([2000.0, 2000.0]))
    left, right, distance = match_at_epoch(ra, dec, np.array([0.0]), np.array([-100.0]), *others, 1.0, 2016.0)
    assert right.tolist() == [0]
    assert distance[0] == pytest.approx(0.0, abs=1e-6)
    assert (
        match_at_epoch(ra, dec, none, none, np.zeros(0), np.zeros(0), np.zeros(0), 1.0, 2016.0)[0].size == 0
    )


def test_motion_over_the_pole_is_right():
    """0.5 arcsec from the pole, moving over it: straight coordinates would go astray."""
    dec = 90 - 0.5 / 3600
    star = SkyCoord(0.0 * u.deg, dec * u.deg, pm_ra_cosdec=0 * u.mas / u.yr, pm_dec=100 * u.mas / u.yr,
                    obstime=Time(2016.0, format="jyear"), distance=1000 * u.pc)  # fmt: skip
    then = star.apply_space_motion(Time(2026.0, format="jyear"))
    _, right, distance = match_at_epoch(
        np.array([0.0]), np.array([dec]), np.array([0.0]), np.array([100.0]), np.array([then.ra.deg]),
        np.array([then.dec.deg]), np.array([2026.0]), 1.0, 2016.0,
    )  # fmt: skip
    assert right.tolist() == [0]
    assert distance[0] < 1e-3
    assert then.ra.deg == pytest.approx(180.0, abs=1e-3)
