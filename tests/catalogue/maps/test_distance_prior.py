"""Distance priors by position: the published table, redflower's own, and damaged files."""

import logging

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from redflower.catalogue import (
    DistancePrior,
    choose_distance_prior,
    default_distance_prior,
    named_distance_prior,
    read_distance_prior,
)
from redflower.errors import InputError


@pytest.fixture
def own_file(tmp_path):
    """A prior of redflower's own kind at level 1: 48 pixels, in shuffled order, with comments."""
    order = np.random.default_rng(0).permutation(48)
    lines = ["# made up for a test", "# ICRS, nested", "healpix,log_length_pc,alpha,beta"]
    lines += [f"{i},{5 + 0.01 * i},{1 + 0.001 * i},{2 + 0.001 * i}" for i in order]
    path = tmp_path / "prior.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_own_tables_are_looked_up_by_nested_icrs_pixel(own_file):
    prior = read_distance_prior(own_file)
    assert prior.nside == 2
    assert len(prior.sha256) == 64
    # Nested level 1: pixels 4 i .. 4 i + 3 divide base pixel i, and the child counts along the two diagonals.
    # Base pixel 4 is centred on (0, 0): its southern child holds points just south of it, its northern child
    # those just north.
    log_length, alpha, beta = prior.lookup(np.zeros(2), np.array([-10.0, 10.0]))
    assert np.allclose(log_length, [5.16, 5.19])
    assert np.allclose(alpha, [1.016, 1.019])
    assert np.allclose(beta, [2.016, 2.019])


def test_a_star_without_a_position_has_no_prior(own_file):
    values = read_distance_prior(own_file).lookup(np.array([np.nan, 10.0]), np.array([0.0, np.nan]))
    assert np.isnan(values).all()


def test_the_published_table_whole(shared_data):
    prior = read_distance_prior(shared_data / "bailerjones2021_prior_summary.csv")
    assert prior.nside == 32
    assert len(prior.log_length_pc) == 12288
    # The length scale spans 2.6e-7 to 1e4 pc.
    assert np.exp(prior.log_length_pc.min()) == pytest.approx(2.6e-7, rel=0.05)
    assert np.exp(prior.log_length_pc.max()) < 2e4
    assert "Bailer-Jones" in prior.name


def test_the_published_table_is_where_its_own_coordinates_say(shared_data):
    """The file gives the Galactic centre of each pixel: looking those up must give the rows back."""
    rows = np.genfromtxt(shared_data / "bailerjones2021_prior_summary.csv", delimiter=",", names=True)
    icrs = SkyCoord(rows["glon"], rows["glat"], unit="deg", frame="galactic").icrs
    prior = read_distance_prior(shared_data / "bailerjones2021_prior_summary.csv")
    log_length, alpha, beta = prior.lookup(icrs.ra.deg, icrs.dec.deg)
    # One pixel straddles l = 0, and the file's longitude for it is an average across the wrap.
    same = np.isclose(log_length, np.log(rows["GGDrlen"]), rtol=1e-14)
    assert np.flatnonzero(~same).tolist() == [7331]
    assert abs(rows["glon"][7331] - 359.0) < 0.1
    assert np.array_equal(alpha[same], rows["GGDalpha"][same])
    assert np.array_equal(beta[same], rows["GGDbeta"][same])


def test_a_published_table_cut_short_is_refused(shared_data, tmp_path):
    text = (shared_data / "bailerjones2021_prior_summary.csv").read_text()
    cut = tmp_path / "cut.csv"
    cut.write_text("\n".join(text.splitlines()[:5000]))
    with pytest.raises(InputError, match="has 12288 rows; this file has 4999"):
        read_distance_prior(cut)
    cut.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="damaged|has 12288 rows"):
        read_distance_prior(cut)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("healpix,log_length_pc", "healpix,length", "must have the columns"),
        ("\n7,", "\n8,", "exactly once"),
        ("\n7,5.07", "\n7,nan", "log_length_pc must be finite.*pixel 7"),
        ("1.007,2.007", "-1.007,2.007", "alpha must be finite and above 0"),
        ("1.007,2.007", "1.007,-2.007", "beta must be finite and above -1"),
        ("1.007,2.007", "1.007", "damaged"),
        ("1.007,2.007", "1.007,abc", "damaged"),
        ("\n7,5.07,1.007,2.007", "", "exactly once|no full HEALPix"),
    ],
)
def test_damaged_tables_are_refused(own_file, old, new, message):
    text = own_file.read_text()
    assert old in text
    own_file.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_distance_prior(own_file)


def test_absent_and_empty_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_distance_prior(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match="must have the columns"):
        read_distance_prior(tmp_path / "empty.csv")


def test_a_grid_that_is_no_healpix_is_refused():
    with pytest.raises(InputError, match="no full HEALPix grid"):
        DistancePrior(log_length_pc=np.zeros(47), alpha=np.ones(47), beta=np.ones(47), name="test", sha256="")


def test_the_packaged_prior_is_whole():
    prior = default_distance_prior()
    log_length, alpha, beta = prior.lookup(np.array([192.86, 12.86]), np.array([27.13, -27.13]))
    assert np.isfinite([log_length, alpha, beta]).all()


@pytest.mark.parametrize("sha256", [None, default_distance_prior("sky").sha256])
def test_a_packaged_prior_is_named_aloud_for_stars_that_are_not_simulated(sha256, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        quiet = choose_distance_prior(None, ["source_id", "true_distance"], sha256=sha256)
        assert choose_distance_prior(quiet, ["source_id"]) is quiet
        assert not caplog.records
        prior = choose_distance_prior(None, ["source_id"], sha256=sha256)
    assert prior.sha256 == quiet.sha256 == (sha256 or default_distance_prior().sha256)
    assert prior.name in caplog.text
    assert "--distance-prior" in caplog.text
    assert "read_distance_prior" in caplog.text


def test_a_prior_is_named_by_its_population_or_its_file(tmp_path) -> None:
    assert named_distance_prior("sky").sha256 == default_distance_prior("sky").sha256
    bad = tmp_path / "prior.csv"
    bad.write_text("healpix,rlen\n1,2\n")
    with pytest.raises(InputError):
        named_distance_prior(bad)
