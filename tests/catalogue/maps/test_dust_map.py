"""Dust maps: order, coordinates and pixels from the header, and the stars they cut."""

import hashlib

import numpy as np
import pytest
from astropy.io import fits
from astropy_healpix import HEALPix

from redflower.catalogue import prepare, read_dust_map
from redflower.errors import InputError
from tests.helpers.healpix import write_healpix
from tests.helpers.raw_stars import raw_stars


def test_training_stars_are_cut_by_the_dust_map_and_inference_stars_are_not(tmp_path):
    raw = raw_stars()
    values = np.full(12, 0.010)
    pixels = HEALPix(1, order="ring").lonlat_to_healpix(raw["l"].quantity, raw["b"].quantity)
    dusty, unseen = np.unique(pixels)[:2]
    values[dusty], values[unseen] = 0.030, -1.6375e30
    path = write_healpix(tmp_path / "map.fits", values, COORDSYS="G", NSIDE=1)
    training = prepare(raw, purpose="training", ebv_map=path)
    gone = np.isin(pixels, [dusty, unseen])
    assert np.array_equal(training.table["source_id"], raw["source_id"][~gone])
    assert training.report.cuts[-1].condition == "E(B-V) < 0.0204 mag in map.fits"
    assert (training.table["ebv_map"] == 0.010).all()
    inference = prepare(raw, purpose="inference", ebv_map=path)
    assert len(inference.table) == 50
    assert np.isnan(inference.table["ebv_map"]).sum() == (pixels == unseen).sum()
    without = prepare(raw, purpose="training").report
    assert any("no dust map is given" in note for note in without.notes)


@pytest.mark.parametrize("coordsys", ["G", "C"])
@pytest.mark.parametrize("ordering", ["RING", "NESTED"])
def test_order_and_coordinates_come_from_the_header(tmp_path, ordering, coordsys):
    raw = raw_stars()
    grid = HEALPix(8, order=ordering.lower())
    lon, lat = ("l", "b") if coordsys == "G" else ("ra", "dec")
    pixels = grid.lonlat_to_healpix(raw[lon].quantity, raw[lat].quantity)
    path = write_healpix(
        tmp_path / "m.fits", np.arange(768) / 1000, ORDERING=ordering, COORDSYS=coordsys, NSIDE=8
    )
    table = prepare(raw, purpose="inference", ebv_map=path).table
    assert np.array_equal(table["ebv_map"], pixels / 1000)


def test_listed_pixels_and_long_rows_are_read(tmp_path):
    columns = [fits.Column("PIXEL", "J", array=[3, 5]), fits.Column("EBV", "E", array=[0.5, 0.25])]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header.update({"ORDERING": "NESTED", "INDXSCHM": "EXPLICIT", "NSIDE": 1, "COORDSYS": "G"})
    hdu.writeto(tmp_path / "partial.fits")
    partial = read_dust_map(tmp_path / "partial.fits")
    assert partial.ebv_mag[[3, 5]].tolist() == [0.5, 0.25]
    assert np.isnan(partial.ebv_mag).sum() == 10
    rows = fits.BinTableHDU.from_columns([fits.Column("EBV", "4E", array=np.arange(12).reshape(3, 4) / 100)])
    rows.header.update({"ORDERING": "RING", "COORDSYS": "G"})
    rows.writeto(tmp_path / "rows.fits")
    assert np.allclose(read_dust_map(tmp_path / "rows.fits").ebv_mag, np.arange(12) / 100)


@pytest.mark.parametrize(
    ("values", "header", "message"),
    [
        (np.full(12, 0.1), {"ORDERING": ""}, "must say ORDERING"),
        (np.full(12, 0.1), {"NSIDE": 2}, "NSIDE = 2, its 12 pixels say 1"),
        (np.full(13, 0.1), {}, "must hold 12 NSIDE"),
        (np.full(12 * 9, 0.1), {}, "must hold 12 NSIDE"),
        (np.full(12, 0.1), {"COORDSYS": "E"}, "only Galactic"),
        (np.full(12, np.nan), {}, "no finite value"),
        (np.full(12, 1e20), {}, "factor to E"),
    ],
)
def test_maps_that_contradict_themselves_are_refused(tmp_path, values, header, message):
    with pytest.raises(InputError, match=message):
        read_dust_map(write_healpix(tmp_path / "m.fits", values, **header))


def test_a_map_cut_short_is_refused(tmp_path):
    path = write_healpix(tmp_path / "m.fits", np.full(12 * 64**2, 0.1))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match="cannot be read as FITS"):
        read_dust_map(path)


def test_the_real_sfd_map_gives_published_values(shared_data):
    """441 values of the full map at single positions: pixels of 0.9 deg scatter around them, without bias."""
    l_deg, b_deg, expected = np.loadtxt(shared_data / "sfd_benchmark.dat", delimiter=",", unpack=True)
    dust = read_dust_map(shared_data / "dust_ebv_SFD_healpix_lowres.fits")
    assert (dust.nside, dust.order, dust.frame) == (64, "ring", "galactic")
    assert "Galactic ones are assumed" in dust.notes[0]
    ratio = dust.lookup(l_deg, b_deg, l_deg, b_deg) / expected
    assert abs(np.median(ratio) - 1) < 0.02  # seen: 1.003
    assert np.diff(np.percentile(ratio, [16, 84])) < 0.35  # seen: 0.22; in the wrong order it is above 2


def test_the_hydrogen_map_needs_its_factor(shared_data):
    path = shared_data / "h1_nh_HI4PI_healpix_lowres.fits"
    with pytest.raises(InputError, match="ebv_map_scale"):
        read_dust_map(path)
    assert np.nanmedian(read_dust_map(path, scale=1 / 8.8e21).ebv_mag) == pytest.approx(0.06, abs=0.01)


def test_a_degraded_map_under_the_published_name_is_refused_and_its_source_named(tmp_path):
    path = write_healpix(tmp_path / "ebv_lhd.hpx.fits", np.full(12 * 16**2, 0.01), COORDSYS="G", NSIDE=16)
    with pytest.raises(InputError, match=r"has NSIDE = 1024; this file has 16.*doi\.org/10\.7910/DVN/AFJNWJ"):
        read_dust_map(path)
    with pytest.raises(InputError, match=r"does not exist.*doi\.org/10\.7910/DVN/AFJNWJ.*with a browser"):
        read_dust_map(tmp_path / "no" / "ebv_lhd.hpx.fits")


def test_coarse_pixels_and_gaps_are_said(tmp_path):
    values = np.full(12 * 64**2, 0.01)
    values[::4] = np.nan
    notes = read_dust_map(write_healpix(tmp_path / "m.fits", values, COORDSYS="G", NSIDE=64)).notes
    assert any("pixels of 55 arcmin (NSIDE = 64)" in note for note in notes)
    assert any("covers 75 % of the sky" in note for note in notes)


def test_a_map_of_dustmaps_serves_like_a_file(dustmaps_folder, tmp_path):
    """dustmaps' own class for Lenz et al. 2017, over a made file where dustmaps keeps them."""
    from dustmaps.config import config

    raw = raw_stars()
    values = np.linspace(0.0, 0.05, 12 * 64**2)
    (tmp_path / "lenz2017").mkdir()
    path = write_healpix(tmp_path / "lenz2017" / "ebv_lhd.hpx.fits", values, COORDSYS="G", NSIDE=64)
    path.rename(tmp_path / "same.fits")
    from_file = prepare(raw, purpose="training", ebv_map=tmp_path / "same.fits", ebv_max_mag=0.0204 * 0.884)
    (tmp_path / "same.fits").rename(path)
    from_package = prepare(raw, purpose="training", ebv_map="dustmaps:lenz2017", ebv_max_mag=0.0204)
    config["data_dir"] = str(dustmaps_folder / "nothing")
    with pytest.raises(InputError, match=r"cannot open its files.*DVN/AFJNWJ"):
        prepare(raw, purpose="training", ebv_map="dustmaps:lenz2017")
    assert np.array_equal(from_package.table["source_id"], from_file.table["source_id"])
    # The file of another name is taken as it is; by its own it is known to be on the scale of 0.884 times SFD.
    np.testing.assert_allclose(from_package.table["ebv_map"], from_file.table["ebv_map"] / 0.884)
    assert from_package.report.cuts[-1].condition == "E(B-V) < 0.0204 mag in dustmaps:lenz2017"
    assert any("multiplied by 1.131" in note for note in from_package.report.notes)
    with pytest.raises(InputError, match="of dustmaps there are dustmaps:lenz2017"):
        prepare(raw, purpose="training", ebv_map="dustmaps:bayestar")


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_a_map_is_compared_with_the_checksum_that_its_publisher_states(tmp_path, kind):
    path = write_healpix(tmp_path / "map.fits", np.full(12, 0.01), COORDSYS="G", NSIDE=1)
    stated = hashlib.new(kind, path.read_bytes()).hexdigest()
    dust = read_dust_map(path, checksum=stated.upper())
    assert any(stated in note for note in dust.notes)
    report = prepare(raw_stars(), purpose="inference", ebv_map=path, ebv_map_checksum=stated).report
    assert any(stated in note for note in report.notes)
    data = bytearray(path.read_bytes())
    data[-2000] ^= 1  # one bit of the padding: still a good map, but not that file
    path.write_bytes(data)
    assert np.array_equal(read_dust_map(path).ebv_mag, dust.ebv_mag)
    with pytest.raises(InputError, match="not the file that is meant"):
        read_dust_map(path, checksum=stated)


@pytest.mark.parametrize("checksum", ["abc", "x" * 32, ""])
def test_what_is_no_checksum_is_refused(tmp_path, checksum):
    path = write_healpix(tmp_path / "map.fits", np.full(12, 0.01), COORDSYS="G", NSIDE=1)
    with pytest.raises(InputError, match="32 or a SHA-256 of 64"):
        read_dust_map(path, checksum=checksum)


def test_a_checksum_needs_a_file():
    with pytest.raises(InputError, match="names none"):
        prepare(raw_stars(), purpose="inference", ebv_map_checksum="0" * 32)
    with pytest.raises(InputError, match="dustmaps keeps"):
        prepare(raw_stars(), purpose="inference", ebv_map="dustmaps:sfd", ebv_map_checksum="0" * 32)


def test_of_the_published_map_without_a_checksum_its_own_is_told(tmp_path):
    path = tmp_path / "ebv_lhd.hpx.fits"
    write_healpix(path, np.full(12 * 1024**2, 0.01, dtype=np.float32), COORDSYS="G", NSIDE=1024)
    own = hashlib.md5(path.read_bytes()).hexdigest()
    assert any(own in note and "10.7910/DVN/AFJNWJ" in note for note in read_dust_map(path).notes)
