"""The sky map: what it writes, and how it is asked."""

from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import vstack

from redflower.api.sky_maps import make_sky_map
from redflower.calibrate.verdict import Verdict
from redflower.errors import InputError
from redflower.products.field_file import read_field_map, write_field_map
from redflower.products.field_map import FieldMap
from redflower.products.skymap import read_sky_map, write_sky_map
from tests.helpers.open_everywhere import check_opens
from tests.helpers.sightlines import posterior_table


@pytest.fixture(scope="module")
def posteriors():
    dusty, clear = posterior_table(60, [(350.0, 0.25)], seed=1), posterior_table(60, [], seed=2)
    clear["l"] += 20.0
    few = posterior_table(5, [], seed=3)
    few["l"] += 40.0
    table = vstack([dusty, clear, few], metadata_conflicts="silent")
    table["source_id"] = np.arange(len(table)) + 10**15
    table.meta = dict(dusty.meta)
    return table


@pytest.fixture(scope="module")
def sky(posteriors):
    return make_sky_map(posteriors, nside=8, distance_pc=[250, 1000, 2000])


@pytest.mark.slow
def test_the_map_does_not_depend_on_the_number_of_processes(sky, posteriors) -> None:
    shared = make_sky_map(posteriors, nside=8, distance_pc=[250, 1000, 2000], workers=2)
    for name in ("pixel", "ebv_mag", "ebv_std_mag", "n_stars"):
        np.testing.assert_array_equal(getattr(shared, name), getattr(sky, name))


def test_each_pixel_has_its_own_dust(sky) -> None:
    assert len(sky.pixel) == 2
    assert sorted(sky.n_stars.tolist()) == [60, 60]
    dusty, clear = SkyCoord(104 * u.deg, 22.3 * u.deg, frame="galactic"), SkyCoord(
        124 * u.deg, 22.3 * u.deg, frame="galactic"
    )  # fmt: skip
    assert sky.query(dusty)[1] == pytest.approx(0.25, abs=0.05)
    assert sky.query(clear)[1] == pytest.approx(0.0, abs=0.05)
    assert np.isnan(sky.query(SkyCoord(144 * u.deg, 22.3 * u.deg, frame="galactic"))).all()


def test_distances_are_interpolated_and_not_extrapolated(sky) -> None:
    at = SkyCoord(
        [104, 104, 104] * u.deg, [22.3] * 3 * u.deg, distance=[600, 1500, 9000] * u.pc, frame="galactic"
    )
    found = sky.query(at)
    assert found.shape == (3,)
    assert found[1] == pytest.approx(0.25, abs=0.05)
    assert np.isnan(found[2])


def test_positions_may_come_in_any_shape(sky) -> None:
    """A table of positions, with distances and without, has what each of them has alone."""
    l_deg, b_deg = (np.resize(a, (2, 3)) for a in sky.centres_deg())
    flat = SkyCoord(l_deg.ravel() * u.deg, b_deg.ravel() * u.deg, distance=600 * u.pc, frame="galactic")
    whole = SkyCoord(l_deg * u.deg, b_deg * u.deg, distance=600 * u.pc, frame="galactic")
    np.testing.assert_array_equal(sky.query(whole), sky.query(flat).reshape(2, 3))
    plain = SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic")
    assert sky.query(plain).shape == (2, 3, len(sky.distance_pc))


def test_the_verdict_on_the_stars_comes_back_from_the_file(sky, tmp_path: Path) -> None:
    assert sky.verdict is None  # the invented table tells none
    text = "these stars are not on this model's photometric scale: " + "i is +24 +- 1.0 mmag off, " * 9
    verdict = Verdict(((False, text), (True, "parallaxes are fine")), {"i": 0.024}, {"i": 0.001})
    write_sky_map(replace(sky, verdict=verdict), tmp_path / "sky.fits")
    assert read_sky_map(tmp_path / "sky.fits").verdict == verdict
    assert fits.getheader(tmp_path / "sky.fits", 1)["VERDICT"] == "THE MODEL IS NOT RIGHT FOR THESE STARS"


def test_the_file_is_a_healpix_table_with_units(sky, tmp_path: Path) -> None:
    path = tmp_path / "sky.fits"
    write_sky_map(sky, path)
    with fits.open(path) as file:
        header = file[1].header
        assert header["PIXTYPE"] == "HEALPIX"
        assert header["INDXSCHM"] == "EXPLICIT"
        assert file[1].columns["EBV_1000PC"].unit == "mag"
    assert check_opens(path) == len(sky.pixel)
    back = read_sky_map(path)
    np.testing.assert_allclose(back.ebv_mag, sky.ebv_mag, rtol=1e-6)
    np.testing.assert_array_equal(back.pixel, sky.pixel)
    (tmp_path / "other.fits").write_text("no")
    with pytest.raises(InputError, match="not a sky map"):
        read_sky_map(tmp_path / "other.fits")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"nside": 12}, "power of 2"), ({"distance_pc": [5, 3]}, "rising"), ({"nside": 1024}, "no pixel")],
)
def test_bad_requests_are_refused(change, message) -> None:
    arguments = {"nside": 8, "distance_pc": [100.0]} | change
    with pytest.raises(InputError, match=message):
        make_sky_map(posterior_table(25, []), **arguments)


@pytest.mark.parametrize(
    "facts", ['{"verdict": "fine", "numbers": {}}', '{"verdict": {"lines": [7]}, "numbers": {}}', "[1]", "{"]
)
def test_a_map_whose_facts_are_spoilt_is_one_message(sky, facts: str, tmp_path: Path) -> None:
    """Of both kinds of maps; each is read when its facts are whole."""
    half = np.full((3, 1, 2), 0.05)
    field = FieldMap(
        nside=64, pixel=np.array([7]), distance_pc=np.array([300.0, 900.0]), samples_mag=half,
        zero_point_mag=np.zeros((3, 1)), groups=("ALL",), n_star=np.array([40]), served=np.ones(1),
        resolution_deg=np.full((1, 2), 0.5), r_hat=np.ones(1), numbers={},
    )  # fmt: skip
    write_sky_map(sky, tmp_path / "sky.fits")
    write_field_map(field, tmp_path / "field.fits")
    for read, name, what in (
        (read_sky_map, "sky.fits", "a sky map"),
        (read_field_map, "field.fits", "a map of a field"),
    ):
        read(tmp_path / name)
        with fits.open(tmp_path / name, mode="update") as file:
            file["REDDENING"].header.remove("HISTORY", ignore_missing=True, remove_all=True)
            file["REDDENING"].header.add_history(f"redflower: {facts}")
        with pytest.raises(InputError, match=f"is not {what} of redflower"):
            read(tmp_path / name)
