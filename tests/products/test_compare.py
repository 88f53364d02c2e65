"""Reddening from elsewhere beside a sightline: tables, HEALPix maps, and the maps of dustmaps by its own classes."""

from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy_healpix import HEALPix

import redflower
from redflower.catalogue.maps.dustmaps_profile import (
    N_PLACES,
    places_in_circle,
    profile_names,
    read_dust_profile,
)
from redflower.errors import InputError
from redflower.products.compare import read_comparison
from redflower.products.page_sightline import sightline_page
from redflower.sightline import TemperingSettings
from tests.helpers.healpix import write_healpix
from tests.helpers.sightlines import posterior_table

L_DEG, B_DEG, RADIUS_DEG = 104.08, 22.31, 0.16


def write_bayestar(folder: Path, at_node) -> None:
    """A map of Bayestar19's layout: five samples in all pixels about the circle, none elsewhere."""
    nside = 64
    pixels = HEALPix(nside, order="nested").cone_search_lonlat(L_DEG * u.deg, B_DEG * u.deg, 3 * u.deg)
    info = np.zeros(
        len(pixels),
        dtype=[
            ("nside", "i4"), ("healpix_index", "i8"), ("converged", "i1"),
            ("DM_reliable_min", "f4"), ("DM_reliable_max", "f4"),
        ],
    )  # fmt: skip
    info["nside"], info["healpix_index"], info["converged"] = nside, pixels, 1
    info["DM_reliable_min"], info["DM_reliable_max"] = 6.0, 14.0
    modulus = np.arange(4.0, 19.01, 0.125)
    best = np.broadcast_to(at_node(modulus), (len(pixels), len(modulus)))
    samples = best[:, None, :] * np.array([0.8, 0.9, 1.0, 1.1, 1.2])[:, None]
    (folder / "bayestar").mkdir()
    with h5py.File(folder / "bayestar" / "bayestar2019.h5", "w") as file:
        file["pixel_info"] = info
        file["pixel_info"].attrs["DM_bin_edges"] = modulus
        file["samples"], file["best_fit"] = samples.astype("f4"), best.astype("f4")


def test_places_fill_the_circle_evenly() -> None:
    """The share of places within half the radius is a quarter, and their mean is the centre."""
    l_at, b_at = places_in_circle(L_DEG, 80.0, 1.0)
    places = SkyCoord(l_at * u.deg, b_at * u.deg, frame="galactic")
    away = places.separation(SkyCoord(L_DEG * u.deg, 80.0 * u.deg, frame="galactic")).deg
    assert away.max() < 1.0
    assert np.mean(away < 0.5) == pytest.approx(0.25, abs=1.0 / N_PLACES)
    assert b_at.mean() == pytest.approx(80.0, abs=0.05)


def test_bayestar_is_asked_over_the_circle_and_converted(dustmaps_folder: Path, capsys) -> None:
    """A step of 0.2 units at 370 pc: E(B-V) behind is that times E(g - z) of a unit over that of E(B-V) = 1 mag, by the
    law of this program. Between two nodes of the map its own interpolation is what is found."""
    import jax.numpy as jnp

    from redflower.bands import BANDS
    from redflower.physics.extinction_laws import Zhang23Law

    write_bayestar(dustmaps_folder, lambda modulus: 0.2 * (modulus > 7.8))
    found = read_comparison("dustmaps:bayestar", L_DEG, B_DEG, RADIUS_DEG)
    assert capsys.readouterr().out == ""  # it tells its loading times there
    assert set(found["name"]) == {"bayestar"}
    assert set(found["kind"]) == {"profile"}
    law = np.mean([Zhang23Law().coefficients(jnp.asarray(0.1), jnp.asarray(c)) for c in (0.8, 1.0)], axis=0)
    names = [band.name for band in BANDS]
    factor = (3.518 - 1.549) / (law[names.index("ps1_g")] - law[names.index("ps1_z")])
    behind = found["distance"] > 400
    np.testing.assert_allclose(found["ebv"][behind], 0.2 * factor, rtol=0.01)
    np.testing.assert_allclose(found["ebv"][found["distance"] < 340], 0.0, atol=1e-6)
    np.testing.assert_allclose(found["ebv_error"], 0.0, atol=1e-6)  # the same in every pixel
    assert "Bayestar19" in found["conversion"][0]
    twice = read_comparison("Green=dustmaps:bayestar*2", L_DEG, B_DEG, RADIUS_DEG)
    np.testing.assert_allclose(twice["ebv"], 2 * found["ebv"])
    assert set(twice["name"]) == {"Green"}
    with pytest.raises(InputError, match=r"nothing within 0.16 deg of l, b = 284.08"):
        read_comparison("dustmaps:bayestar", L_DEG + 180, B_DEG, RADIUS_DEG)


def test_a_density_is_summed_along_the_line_of_sight(dustmaps_folder: Path) -> None:
    """2 e-foldings per kpc in G everywhere: E(B-V) = 1.0857 x 2 x d / R_G, out to where the cube ends at +-300 pc."""
    (dustmaps_folder / "leike_ensslin_2019").mkdir()
    with h5py.File(dustmaps_folder / "leike_ensslin_2019" / "simple_cube.h5", "w") as file:
        for name in ("mean", "std"):
            file.create_dataset(name, data=np.full((256,) * 3, 2.0, dtype="f4"), compression=1)
    found = read_dust_profile("dustmaps:leike_ensslin_2019", 104.0, 60.0, 0.5)
    np.testing.assert_allclose(found.ebv_mag, 1.0857 * 2.0 * found.distance_pc / 1000.0 / 2.39, rtol=1e-6)
    assert found.conversion == "0.454 mag per e-folding in G"
    # At b = 60 deg the height of 300 pc is reached at 346 pc.
    assert 320.0 < found.distance_pc.max() < 350.0


def test_edenhofer_is_integrated_and_converted(dustmaps_folder: Path) -> None:
    """A density of 1e-4 per pc from 69 pc on behind 0.01 within: E(ZGR) = 0.01 + 1e-4 (d - 69), and A_V = 2.8 E."""
    pytest.importorskip("healpy")
    nside, bounds = 4, np.geomspace(69.0, 1250.0, 200)
    radii = np.sqrt(bounds[1:] * bounds[:-1])
    header = fits.Header({"NSIDE": nside, "ORDERING": "NESTED", "CUNIT": "E"})
    inner = fits.ImageHDU(
        np.full(12 * nside**2, 0.01), fits.Header({"ORDERING": "NESTED"}), "MEAN OF INTEGRATED INNER"
    )
    inner.header["CTYPE"] = "Inner density integrated within 69 pc"
    radial = {"radial pixel centers": radii, "radial pixel boundaries": bounds}
    columns = [fits.BinTableHDU(Table({name: values})) for name, values in radial.items()]
    (dustmaps_folder / "edenhofer_2023").mkdir()
    density = fits.PrimaryHDU(np.full((len(radii), 12 * nside**2), 1e-4), header)
    fits.HDUList([density, *columns, inner]).writeto(
        dustmaps_folder / "edenhofer_2023" / "mean_and_std_healpix.fits"
    )
    found = read_comparison("dustmaps:edenhofer2023", L_DEG, B_DEG, RADIUS_DEG)
    expected = 2.8 / 2.742 * (0.01 + 1e-4 * (found["distance"] - 69.0))
    # The map's cells are 1.5 % of their distance deep, and hold what is integrated to their far end.
    np.testing.assert_allclose(found["ebv"], expected, atol=1e-4 * 0.02 * 1250)


def test_chen_is_r_band_extinction(dustmaps_folder: Path, capsys) -> None:
    (dustmaps_folder / "chen2014").mkdir()
    l_grid, b_grid = np.meshgrid(np.arange(178.0, 182.0, 0.25), np.arange(20.0, 24.0, 0.25))
    distances = np.arange(0.5, 4.01, 0.5)
    extinction = np.broadcast_to(0.1 * distances, (l_grid.size, len(distances)))
    with h5py.File(dustmaps_folder / "chen2014" / "chen2014.h5", "w") as file:
        file["dists"], file["pix_lb"] = distances, np.stack([l_grid.ravel(), b_grid.ravel()], axis=1)
        file["A_r"], file["A_r_err"] = extinction, 0.1 * extinction
    found = read_dust_profile("dustmaps:chen2014", 180.0, 22.0, RADIUS_DEG)
    assert capsys.readouterr().out == ""
    np.testing.assert_allclose(found.ebv_mag, 0.1 * found.distance_pc / 1000.0 / 2.48, rtol=1e-5)


def test_what_dustmaps_lacks_is_one_message(dustmaps_folder: Path) -> None:
    for name in profile_names():
        with pytest.raises(InputError, match=f"{name}.*cannot open its files.*fetch"):
            read_comparison(name, L_DEG, B_DEG, RADIUS_DEG)
    with pytest.raises(
        InputError, match=r"'dustmaps:iphas'.*dustmaps:sfd.*With distances.*dustmaps:bayestar"
    ):
        read_comparison("dustmaps:iphas", L_DEG, B_DEG, RADIUS_DEG)


@pytest.mark.parametrize("frame", ["G", "C"])
def test_a_healpix_map_of_either_frame_gives_its_mean_over_the_circle(tmp_path: Path, frame: str) -> None:
    """The map is the latitude (galactic) or declination (equatorial) in degrees: its mean is that of the centre."""
    healpix = HEALPix(512, order="nested")
    values = healpix.healpix_to_lonlat(np.arange(healpix.npix))[1].to_value(u.deg)
    write_healpix(tmp_path / "map.fits", values / 100.0, ORDERING="NESTED", NSIDE=512, COORDSYS=frame)
    found = read_comparison(f"SFD={tmp_path}/map.fits*0.86", L_DEG, B_DEG, 1.0)
    assert list(found["kind"]) == ["map"]
    place = SkyCoord(L_DEG * u.deg, B_DEG * u.deg, frame="galactic")
    expected = B_DEG if frame == "G" else place.icrs.dec.deg
    assert found["ebv"][0] == pytest.approx(0.86 * expected / 100.0, rel=0.005)
    # A gradient of 1 deg per degree over a circle of radius 1 deg: a standard deviation of half a degree.
    assert found["ebv_error"][0] == pytest.approx(0.86 * 0.5 / 100.0, rel=0.1)
    assert found["ebv"].unit == "mag"


def test_a_table_is_a_profile_in_other_units_and_stars_only_within_the_circle(tmp_path: Path) -> None:
    profile = Table({"distance": [0.3, 1.0] * u.kpc, "ebv": [20.0, 100.0] * u.mmag})
    profile.write(tmp_path / "own.ecsv")
    found = read_comparison(f"{tmp_path}/own.ecsv*2", L_DEG, B_DEG, RADIUS_DEG)
    assert list(found["kind"]) == ["profile"] * 2
    np.testing.assert_allclose(found["distance"], [300.0, 1000.0])
    np.testing.assert_allclose(found["ebv"], [0.04, 0.2])
    stars = Table(
        {"l": [L_DEG, L_DEG + 1.0], "b": [B_DEG, B_DEG], "distance": [500.0, 600.0], "ebv": [0.1, 0.2]}
    )
    stars.write(tmp_path / "stars.ecsv")
    found = read_comparison(f"Zhang={tmp_path}/stars.ecsv", L_DEG, B_DEG, RADIUS_DEG)
    assert list(found["kind"]) == ["stars"]
    np.testing.assert_allclose(found["ebv"], [0.1])
    with pytest.raises(InputError, match="no star within"):
        read_comparison(f"Zhang={tmp_path}/stars.ecsv", L_DEG, -B_DEG, RADIUS_DEG)
    Table({"distance": [0.3] * u.kpc, "ebv": [20.0] * u.s}).write(tmp_path / "wrong.ecsv")
    with pytest.raises(InputError, match="'ebv' is in s; mag is needed"):
        read_comparison(f"{tmp_path}/wrong.ecsv", L_DEG, B_DEG, RADIUS_DEG)
    with pytest.raises(InputError, match="is not a number"):
        read_comparison("own.ecsv*two", L_DEG, B_DEG, RADIUS_DEG)
    with pytest.raises(InputError, match="does not exist"):
        read_comparison("none.ecsv", L_DEG, B_DEG, RADIUS_DEG)


def test_comparisons_are_saved_drawn_and_tabulated(dustmaps_folder: Path) -> None:
    """Beside the fit at the distances of the page's table."""
    write_bayestar(dustmaps_folder, lambda modulus: 0.2 * (modulus > 7.8))
    posteriors = posterior_table(80, [(400.0, 0.2)])
    posteriors["l"], posteriors["b"] = np.full(80, L_DEG), np.full(80, B_DEG)
    other = read_comparison("dustmaps:bayestar", L_DEG, B_DEG, RADIUS_DEG)
    quick = TemperingSettings(n_particles=60, n_moves=3, n_final=8)
    result = redflower.sightline(posteriors, max_clouds=1, settings=quick, comparisons=[other])
    assert len(result.comparisons) == len(other)
    names = ("clouds", "profile", "bins", "stars", "draws", "comparisons")
    page = sightline_page(result.summary, **{name: getattr(result, name) for name in names})
    title, header, rows = page["tables"][-1]
    assert "foreground included" in title
    assert header[-1] == "bayestar (profile)"
    at_1200 = next(row for row in rows if row[0] == "1,200")
    assert float(at_1200[-1]) == pytest.approx(0.186, abs=0.002)
    assert float(at_1200[1]) == pytest.approx(0.2, abs=0.05)
