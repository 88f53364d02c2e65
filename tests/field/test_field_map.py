"""A field from stars to file: what it finds, what it says of places without stars, and what it refuses."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import vstack
from astropy_healpix import HEALPix

import redflower
from redflower.api.field_samples import samples_apart
from redflower.api.field_stars import open_field_stars
from redflower.errors import InputError
from redflower.field.pixels import hole_deg2
from redflower.field.sampler import FieldSettings
from redflower.products.field_file import write_field_map
from redflower.products.field_map import FieldMap
from redflower.products.healpix import pixel_centres_deg, rows_towards
from redflower.products.sampled_map import FLAG_NO_STAR
from redflower.simulate import DustSheet, draw_dust_field
from redflower.sky_patch import SkyPatch
from tests.helpers.fields import field_table
from tests.helpers.open_everywhere import check_opens

#: About the pole of the Galaxy, where longitudes are no guide.
DUST = draw_dust_field(
    SkyPatch(0.0, 89.0, 6.0),
    [DustSheet(distance_pc=300.0, ebv_mag=0.08, log_scatter=0.4, length_deg=1.5)],
    seed=1,
)
QUICK = FieldSettings(n_bursts=3, n_burst=30, n_draws=60, n_chains=1, n_steps=10, n_longer=1)


@pytest.fixture(scope="module")
def table():
    """Two samples; the second reads 0.04 mag too red. None lies in a hole of 3 deg about the pole."""
    parts = [field_table(400, DUST, seed=1), field_table(400, DUST, seed=2, zero_point_mag=0.04)]
    for name, part in zip("ab", parts, strict=True):
        part["sample"] = np.full(len(part), name)
    table = vstack(parts, metadata_conflicts="silent")
    table = table[table["b"] < 88.5]
    table.meta = dict(parts[0].meta)
    return table


@pytest.fixture(scope="module")
def field(table):
    return redflower.field_map(
        table,
        distance_pc=[150, 600, 1500],
        nside=64,
        cell_deg=0.5,
        shell_mag=1.0,
        zero_point_of="sample",
        settings=QUICK,
    )


def test_dust_and_zero_points_are_told_apart(field) -> None:
    """The two samples differ by 0.04 mag: known to 0.004 mag from 400 stars of 0.045 mag each."""
    assert field.groups == ("A", "B")
    apart = field.zero_point_mag[:, 1] - field.zero_point_mag[:, 0]
    assert apart.mean() == pytest.approx(0.04, abs=0.012)
    assert apart.std() == pytest.approx(0.0035, rel=0.7)
    l_deg, b_deg = field.centres_deg()
    truth = DUST.ebv_mag(l_deg, b_deg, 600.0)
    there = DUST.patch.holds(l_deg, b_deg) & (field.n_star > 0)
    found = field.ebv_mag[there, 1]
    assert np.abs(field.ebv_mag[there, 0]).max() < 0.02
    # The dust of a pixel has a scatter of 0.025 mag; a map of nothing would be wrong by that.
    assert np.std(found - truth[there]) < 0.75 * truth[there].std()
    assert found.mean() == pytest.approx(truth[there].mean(), abs=0.015)


def test_the_error_that_goes_with_the_zero_points_stands_apart() -> None:
    """4,000 draws: dust that a zero point takes with it by halves, and noise of its own of 0.003 mag; to 3 %."""
    rng = np.random.default_rng(1)
    zero = rng.standard_normal((4000, 2)) * [0.008, 0.002]
    own = 0.003 * rng.standard_normal((4000, 3, 2))
    samples = 0.1 + own - 0.5 * zero[:, :1, None] * np.array([[1.0], [1.0], [0.0]])
    field = FieldMap(
        nside=64,
        pixel=np.arange(3),
        distance_pc=np.array([300.0, 900.0]),
        samples_mag=samples,
        zero_point_mag=zero,
        groups=("A", "B"),
        n_star=np.ones(3, int),
        served=np.ones(3),
        resolution_deg=np.ones((3, 2)),
        numbers={},
        r_hat=np.ones(3),
    )
    np.testing.assert_allclose(field.ebv_zero_std_mag[:2], 0.004, rtol=0.05)
    # Of draws that have nothing in common 1 in 4,000 goes along by chance, in each of two ways.
    assert field.ebv_zero_std_mag[2].max() < 0.003 * np.sqrt(2 * 6.0 / 4000)
    rest = np.sqrt(field.ebv_std_mag**2 - field.ebv_zero_std_mag**2)
    np.testing.assert_allclose(rest, 0.003, rtol=0.05)


def test_a_place_without_stars_is_flagged_and_less_certain(field, table) -> None:
    at_pole = field.n_star == 0
    assert at_pole.any()
    assert ((field.flags & FLAG_NO_STAR) > 0).tolist() == at_pole.tolist()
    assert (field.centres_deg()[1][at_pole] > 88.9).any()
    starry = field.n_star >= np.quantile(field.n_star, 0.7)
    relative = field.ebv_std_mag[:, 2] / field.ebv_mag[:, 2]
    hole = at_pole & (field.centres_deg()[1] > 88.5)
    assert np.median(relative[hole]) > np.median(relative[starry])
    assert field.n_star.sum() == len(table)


def test_rows_that_are_not_fitted_and_holes_are_counted(field, table) -> None:
    """A cap of 0.8 deg about the pole has no pixels: its area to the pixels' own, of 0.84 square degrees."""
    assert field.numbers["stars_left_out"][0] == 0.0
    patch = SkyPatch(0.0, 90.0, 10.0)
    grid = HEALPix(nside=64, order="nested")
    pixel = np.unique(
        grid.lonlat_to_healpix(
            *(a * u.deg for a in patch.to_sky(*np.random.default_rng(1).uniform(-5, 5, (2, 9000))))
        )
    )
    latitude = pixel_centres_deg(64, pixel)[1]
    assert hole_deg2(pixel, 64, patch) == 0.0
    ring = pixel[np.abs(latitude - 90.0) > 2.0]
    gone = (len(pixel) - len(ring)) * grid.pixel_area.to_value(u.deg**2)
    assert gone > 8.0
    assert hole_deg2(ring, 64, patch) == pytest.approx(gone, abs=2.0)
    # What is open to the border is no hole.
    assert hole_deg2(pixel[pixel_centres_deg(64, pixel)[0] > 180.0], 64, patch) == 0.0
    spoilt = table.copy()
    spoilt["status"][:7], spoilt["l"][7:10] = "failed", np.nan
    assert open_field_stars(spoilt)[0].n_left_out == 10


def test_a_sample_that_reads_redder_than_the_others_is_told(field, table) -> None:
    """0.04 mag, known to 0.0035 mag; a column that divides the stars at random tells nothing, at five errors."""
    some = table.copy()
    some["half"] = np.random.default_rng(2).integers(0, 2, len(some))
    some["name"] = [f"star {k}" for k in range(len(some))]
    (apart,) = samples_apart(some, field)
    assert (apart.column, apart.value) == ("sample", "b")
    # Some are nearer than the first of the map's distances, or at its border.
    assert apart.n_stars > 0.9 * (table["sample"] == "b").sum()
    assert apart.offset_mag == pytest.approx(0.04, abs=0.014)
    assert apart.error_mag == pytest.approx(0.0035, rel=0.3)


def test_it_answers_as_dustmaps_does(field) -> None:
    one = SkyCoord(10.0 * u.deg, 88.2 * u.deg, frame="galactic")
    assert field.query(one).shape == (3,)
    far = SkyCoord(
        [[10.0, 100.0]] * u.deg, [[88.2, 88.2]] * u.deg, distance=[[600.0, 1050.0]] * u.pc, frame="galactic"
    )
    mean = field.query(far)
    assert mean.shape == (1, 2)
    assert mean[0, 0] == pytest.approx(field.query(one)[1])
    samples = field.query(far, mode="samples")
    assert samples.shape == (1, 2, 60)
    np.testing.assert_allclose(samples.mean(axis=-1), mean, rtol=1e-5)
    np.testing.assert_allclose(
        field.query(far, mode="percentile", pct=50), field.query(far, mode="median"), rtol=1e-5
    )
    assert field.query(far, mode="percentile", pct=[16, 84]).shape == (1, 2, 2)
    assert field(far, mode="random_sample", seed=3)[0, 0] in samples[0, 0]
    at_sun = SkyCoord(10.0 * u.deg, 88.2 * u.deg, distance=0.0 * u.pc, frame="galactic")
    assert field.query(at_sun) == 0.0
    for away in (SkyCoord(0 * u.deg, 0 * u.deg, distance=500 * u.pc, frame="galactic"),
                 SkyCoord(10 * u.deg, 88.2 * u.deg, distance=9 * u.kpc, frame="galactic")):  # fmt: skip
        assert np.isnan(field.query(away))
    with pytest.raises(InputError, match="mode"):
        field.query(one, mode="best")
    with pytest.raises(InputError, match="pct"):
        field.query(one, mode="percentile")


def test_the_file_opens_elsewhere_and_comes_back(field, tmp_path: Path) -> None:
    path = tmp_path / "field.fits"
    write_field_map(field, path)
    assert check_opens(path) == len(field.pixel)
    back = redflower.read_field_map(path)
    for name in ("pixel", "n_star", "distance_pc", "groups"):
        np.testing.assert_array_equal(getattr(back, name), getattr(field, name))
    np.testing.assert_allclose(back.samples_mag, field.samples_mag, rtol=1e-6)
    np.testing.assert_allclose(back.zero_point_mag, field.zero_point_mag, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(back.r_hat, field.r_hat, rtol=1e-6)
    assert back.status == field.status
    assert back.numbers.keys() == field.numbers.keys()
    np.testing.assert_allclose(list(back.numbers.values()), list(field.numbers.values()))
    with fits.open(path) as file:
        assert file["REDDENING"].columns["EBV_600PC"].unit == "mag"
        assert file["REDDENING"].columns["EBV_ZERO_STD_600PC"].unit == "mag"
        assert file["REDDENING"].columns["RESOLUTION_600PC"].unit == "deg"
        assert file["SAMPLES"].header["BUNIT"] == "mag"
    (tmp_path / "other.fits").write_text("no")
    with pytest.raises(InputError, match="not a map of a field"):
        redflower.read_field_map(tmp_path / "other.fits")


def test_the_coverage_is_read_by_mocpy_and_lies_where_the_map_does(field, tmp_path: Path) -> None:
    """Its cells are a quarter as wide as the pixels: 2,000 places agree, but for some within such a cell of an edge."""
    mocpy = pytest.importorskip("mocpy", reason="mocpy is not installed")
    write_field_map(field, tmp_path / "field.fits")
    with fits.open(tmp_path / "field.fits") as file:
        fits.HDUList([fits.PrimaryHDU(), file["MOC"].copy()]).writeto(tmp_path / "moc.fits")
    moc = mocpy.MOC.from_fits(tmp_path / "moc.fits")
    centres = SkyCoord(*pixel_centres_deg(field.nside, field.pixel), unit="deg", frame="galactic")
    rng = np.random.default_rng(1)
    near = centres[rng.integers(len(centres), size=2000)].directional_offset_by(
        rng.uniform(0, 360, 2000) * u.deg, rng.uniform(0, 8, 2000) * u.deg
    )
    _, in_map = rows_towards(field.nside, field.pixel, near)
    assert 0.1 < in_map.mean() < 0.9
    assert (moc.contains_skycoords(near.icrs) == in_map).mean() > 0.95
    assert moc.contains_skycoords(centres.icrs).all()
    area = len(field.pixel) / (12 * field.nside**2)
    assert moc.sky_fraction == pytest.approx(area, rel=0.05)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ("one place", {"cell_deg": 1.0}, "stars in several places"),
        ("", {"zero_point_of": "survey"}, "no column 'survey'"),
        ("", {"nside": 100}, "power of 2"),
        ("", {"distance_pc": [500, 300]}, "rising positive distances"),
        ("", {"cell_deg": -1.0}, "positive cell_deg"),
        ("few", {}, "needs 20 stars"),
        ("few b", {"zero_point_of": "sample"}, "column 'sample' has 'b' \\(7\\)"),
    ],
)
def test_what_is_no_field_is_refused(table, change, arguments, message) -> None:
    if change == "one place":
        table = table.copy()
        table["l"], table["b"] = 120.0 + 1e-3 * table["l"] / 360.0, np.full(len(table), 60.0)
    elif change == "few":
        table = table[:19]
    elif change == "few b":
        table = table[
            np.concatenate(
                [np.flatnonzero(table["sample"] == "a"), np.flatnonzero(table["sample"] == "b")[:7]]
            )
        ]
    with pytest.raises(InputError, match=message):
        redflower.field_map(table, settings=QUICK, **arguments)
