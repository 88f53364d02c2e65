"""Figures of a sample: what is drawn are its stars, its limits and its map; and the options that write them."""

import re
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix

from redflower.catalogue import DustMap, prepare, read_table, write_table
from redflower.catalogue.maps.selection_file import read_selection
from redflower.cli.app import main
from redflower.physics import SelectionFunction
from redflower.plot import coverage_figure, malmquist_figure, ruwe_figure, sky_figure
from redflower.plot.survey_sample import colour_relations_figure, sample_distance_pc
from tests.helpers.raw_stars import raw_stars


@pytest.fixture(scope="module")
def prepared():
    raw = raw_stars(300, seed=9)
    raw["r_med_geo"] = 1000.0 / np.asarray(raw["parallax"])
    raw["r_med_geo"].unit = "pc"
    return prepare(raw, purpose="inference").table


def test_distances_are_geometric_else_from_good_parallaxes(prepared):
    assert np.array_equal(sample_distance_pc(prepared), prepared["r_med_geo"])
    bare = prepared.copy()
    bare.remove_column("r_med_geo")
    bare["parallax"][:2], bare["parallax_error"][:2] = [2.0, 0.2], [0.1, 0.1]
    distance = sample_distance_pc(bare)
    assert distance[0] == pytest.approx(500.0)
    assert np.isnan(distance[1]), "2 sigma is no distance"


def test_colours_are_those_of_the_stars(prepared):
    figure = colour_relations_figure(prepared)
    scatter = figure.axes[0].collections[0].get_offsets()
    expected = np.stack(
        [prepared["gaia_bp"] - prepared["gaia_rp"], prepared["gaia_g"] - prepared["tmass_ks"]], axis=1
    )
    assert sorted(map(tuple, np.round(scatter, 6))) == sorted(map(tuple, np.round(expected, 6)))
    assert "Ks" in figure.axes[0].get_ylabel()
    assert figure.axes[2].yaxis_inverted(), "bright is up"
    optical = prepared.copy()
    optical["tmass_ks"] = np.nan
    assert "y" in colour_relations_figure(optical).axes[0].get_ylabel()


def test_every_star_is_in_the_ruwe_histogram(prepared):
    figure = ruwe_figure(prepared)
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(heights) == 300
    below = 100 * np.mean(np.asarray(prepared["ruwe"]) < 1.4)
    assert f"{below:.1f} %" in figure.axes[0].get_legend().get_texts()[0].get_text()


def test_sightlines_follow_the_galaxy(prepared):
    figure = coverage_figure(prepared, sightlines={"up": (0.0, 90.0), "out": (180.0, 30.0)}, reach_pc=2000.0)
    up, out = (line.get_xydata()[-1] for line in figure.axes[0].lines)
    assert up == pytest.approx([8.0, 2.025], abs=1e-3)
    assert out == pytest.approx([8.0 + 2 * np.cos(np.pi / 6), 1.025], abs=1e-3)


def test_the_limits_in_g_bound_the_absolute_magnitudes(prepared):
    figure = malmquist_figure(
        prepared, g_bright_mag=14.0, g_faint_mag=20.0, latitudes_deg=(45.0,), width_deg=15.0
    )
    axes = figure.axes[0]
    bright, faint = (line.get_xydata() for line in axes.lines)
    stars = axes.collections[0].get_offsets()
    near = np.abs(np.abs(np.asarray(prepared["b"])) - 45.0) < 15.0
    assert len(stars) == near.sum()
    # At 1 kpc the distance modulus is 10; the height there is 1000 sin(45 deg) + 25 pc.
    at = 1000 * np.sin(np.pi / 4) + 25
    assert np.interp(at, *bright.T) == pytest.approx(4.0, abs=0.01)
    assert np.interp(at, *faint.T) == pytest.approx(10.0, abs=0.01)


def test_the_sky_shows_the_map_below_the_limit_and_the_selection_where_stars_are(prepared):
    lon, _ = HEALPix(16, order="ring").healpix_to_lonlat(np.arange(12 * 256))
    values = np.where(lon.deg < 180, 0.01, 0.05)
    dust = DustMap(ebv_mag=values, nside=16, order="ring", frame="galactic", name="half", sha256="", notes=())
    log_p = jnp.log(jnp.linspace(0.2, 0.9, 48)[:, None, None])
    selection = SelectionFunction(
        log_probability=log_p,
        log_mean_probability=log_p[:, :, 0],
        uncertainty=jnp.zeros_like(log_p),
        g_centre_mag=jnp.array([17.0]),
        g_rp_centre_mag=jnp.array([0.5]),
        nside=2,
    )
    figure = sky_figure(prepared, dust=dust, selection=selection)
    left, right = figure.axes[:2]
    below = np.ma.filled(right.collections[1].get_array().astype(float), np.nan)
    assert np.isfinite(below).mean() == pytest.approx(0.5, abs=0.03)
    assert np.nanmax(below) == pytest.approx(0.01)
    drawn = np.ma.filled(left.collections[0].get_array().astype(float), np.nan)
    star = SkyCoord(prepared["l"][0], prepared["b"][0], unit="deg", frame="galactic")
    pixel = int(HEALPix(2, order="nested").lonlat_to_healpix(star.icrs.ra, star.icrs.dec))
    column = int(((star.l.deg + 180) % 360) / 0.5)
    assert drawn.reshape(360, 720)[int((star.b.deg + 90) / 0.5), column] == pytest.approx(
        0.2 + 0.7 * pixel / 47, abs=0.02
    )
    south = drawn.reshape(360, 720)[:40]
    assert np.isnan(south).all(), "the sample has no star in the south"
    assert len(sky_figure(prepared).axes) >= 2


def run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["redflower", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code in (0, None)


def test_prepare_writes_figures_table_1_and_the_selection_function(tmp_path, monkeypatch, capsys):
    raw = raw_stars(600, seed=10)
    raw["ruwe"][::5] = 3.0
    write_table(raw, tmp_path / "raw.parquet")
    hdu = fits.BinTableHDU.from_columns([fits.Column("EBV", "D", array=np.full(12, 0.01))])
    hdu.header.update({"ORDERING": "RING", "COORDSYS": "G", "NSIDE": 1, "INDXSCHM": "IMPLICIT"})
    hdu.writeto(tmp_path / "map.fits")
    run(
        monkeypatch, "prepare", tmp_path / "raw.parquet", tmp_path / "out.parquet", "--for", "training", "--ebv-map",
        tmp_path / "map.fits", "--figures", tmp_path / "figures", "--selection", tmp_path / "selection.safetensors",
        "--complete", "ps1",
    )  # fmt: skip
    out = capsys.readouterr().out
    assert "Gaia + PS1 480" in out
    # 480 of 600 are kept; with less than a star in a cell the estimate leans, by a few hundredths.
    assert float(re.search(r"selection function: mean (0\.\d+)", out)[1]) == pytest.approx(0.8, abs=0.05)
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    stems = ("colour-relations", "coverage", "ruwe", "malmquist", "sky")
    assert names == {f"{stem}.{ending}" for stem in stems for ending in ("png", "pdf")} | {"table-1.ecsv"}
    assert len(read_table(tmp_path / "figures" / "table-1.ecsv")) == 12
    selection = read_selection(tmp_path / "selection.safetensors")
    assert selection.nside == 8
    assert len(read_table(tmp_path / "out.parquet")) == 480
