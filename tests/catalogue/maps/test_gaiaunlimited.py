"""gaiaunlimited without a network: its own files, made here, read by its own classes, against redflower's estimate."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from scipy import stats

from redflower.catalogue.maps.gaiaunlimited_selection import counts_from_gaiaunlimited, log_gaia_completeness
from redflower.catalogue.maps.selection import build_selection
from redflower.errors import InputError

gaiaunlimited = pytest.importorskip(
    "gaiaunlimited.selectionfunctions", reason="the extra `selection` is not installed"
)

BINNING = {"healpix": 0, "phot_g_mean_mag": (14.0, 20.0, 2.0), "g_rp": (0.2, 1.0, 0.4)}


@pytest.fixture
def subsample(tmp_path, monkeypatch):
    """A SubsampleSelectionFunction from the table that it would keep after counting in the archive."""
    monkeypatch.setenv("GAIAUNLIMITED_DATADIR", str(tmp_path))
    rng = np.random.default_rng(0)
    rows = ["#" + str(BINNING), "healpix_,phot_g_mean_mag_,g_rp_,n,k"]
    for pixel in range(12):
        for i in range(3):
            for j in range(2):
                if (pixel, i) == (4, 1):
                    continue  # cells without a star are not in the table
                n = int(rng.integers(1, 300))
                rows.append(f"{pixel},{i},{j},{n},{rng.binomial(n, 0.9)}")
    (tmp_path / "made.csv").write_text("\n".join(rows) + "\n")
    return gaiaunlimited.SubsampleSelectionFunction("ruwe < 2", "made", BINNING)


def test_its_counts_are_ours(subsample):
    counts = counts_from_gaiaunlimited(subsample)
    assert counts.parent.shape == (12, 3, 2)
    np.testing.assert_allclose(counts.g_edges_mag, [14, 16, 18, 20])
    np.testing.assert_allclose(counts.g_rp_edges_mag, [0.2, 0.6, 1.0])
    assert counts.parent[4, 1].sum() == 0
    flat = np.exp(np.asarray(build_selection(counts, prior="flat").log_probability, float))
    theirs = np.asarray(
        1 / (1 + np.exp(-subsample.ds["logitp"].transpose("ipix", "phot_g_mean_mag_", "g_rp_")))
    )
    there = np.isfinite(theirs)
    assert there.sum() == 70
    np.testing.assert_allclose(flat[there], theirs[there], rtol=1e-5)
    np.testing.assert_allclose(flat[~there], 0.5)
    sky = np.exp(np.asarray(build_selection(counts).log_probability, float))
    np.testing.assert_allclose(sky[~there], 0.9, atol=0.05)


def test_the_uncertainty_is_that_of_the_beta_distribution(subsample):
    counts = counts_from_gaiaunlimited(subsample)
    selection = build_selection(counts, prior="flat")
    expected = stats.beta(counts.sample + 1, counts.parent - counts.sample + 1).std()
    np.testing.assert_allclose(selection.uncertainty, expected, rtol=1e-4)


def test_another_binning_is_refused(subsample):
    subsample.hplevel_and_binning = {"healpix": 0, "phot_g_mean_mag": (14.0, 20.0, 2.0)}
    with pytest.raises(InputError, match="must be binned in"):
        counts_from_gaiaunlimited(subsample)


def test_the_completeness_of_gaia_is_nearly_1_where_scans_go_deep(tmp_path, monkeypatch):
    """A made map of M10 (the depth of the scans): 21 in the north, 19.5 in the south."""
    import h5py

    monkeypatch.setenv("GAIAUNLIMITED_DATADIR", str(tmp_path))
    _, dec = HEALPix(128, order="nested").healpix_to_lonlat(np.arange(12 * 128**2))
    with h5py.File(tmp_path / "allsky_M10_hpx7.hdf5", "w") as file:
        pixel = np.random.default_rng(0).permutation(12 * 128**2)
        file["data"] = np.stack(
            [np.full(len(pixel), 7.0), pixel, np.where(dec.deg > 0, 21.0, 19.5)[pixel]], axis=1
        )
    logs = log_gaia_completeness(np.array([16.0, 20.25]), nside=2)
    assert logs.shape == (48, 2)
    assert (logs <= 0).all()
    _, dec = HEALPix(2, order="nested").healpix_to_lonlat(np.arange(48))
    north, south = dec.deg > 20, dec.deg < -20
    assert logs[:, 0].min() > np.log(0.99)
    assert np.exp(logs[north, 1]).min() > 0.9
    assert np.exp(logs[south, 1]).max() < np.exp(logs[north, 1]).min() - 0.2
    # The package's own look-up at the middle of a northern pixel, whose stars all have one depth.
    place = SkyCoord(HEALPix(2, order="nested").healpix_to_lonlat([3])[0], [45] * u.deg)
    theirs = gaiaunlimited.DR3SelectionFunctionTCG().query(place, np.array([20.25]))
    np.testing.assert_allclose(np.exp(logs[north, 1]), theirs[0], rtol=1e-6)


def test_a_map_that_cannot_be_had_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("GAIAUNLIMITED_DATADIR", str(tmp_path))
    (tmp_path / "allsky_M10_hpx7.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="allsky_M10_hpx7.hdf5 of https://zenodo"):
        log_gaia_completeness(np.array([16.0]), nside=1)
