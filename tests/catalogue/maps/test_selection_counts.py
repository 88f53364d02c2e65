"""The selection function: estimated from counts, looked up for a star, stored, and compared with gaiaunlimited."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from scipy import stats

from redflower.catalogue.maps.selection import build_selection, check_selection
from redflower.catalogue.maps.selection_counts import SelectionCounts, count_stars, selection_pixels
from redflower.catalogue.maps.selection_file import read_selection, write_selection
from redflower.errors import InputError
from redflower.physics import (
    SelectionFunction,
    log_selection,
    log_subsample_selection,
    selection_from_parts,
    selection_to_parts,
)

G_EDGES, G_RP_EDGES = np.array([14.0, 16.0, 18.0, 20.0]), np.array([0.2, 0.6, 1.0])


def made_selection(nside: int = 1, seed: int = 0) -> SelectionFunction:
    rng = np.random.default_rng(seed)
    log_p = np.log(rng.uniform(0.2, 1.0, (12 * nside**2, 3, 2)))
    return SelectionFunction(
        log_probability=jnp.asarray(log_p, jnp.float32),
        log_mean_probability=jnp.asarray(log_p.mean(axis=2), jnp.float32),
        uncertainty=jnp.full(log_p.shape, 0.01),
        g_centre_mag=jnp.array([15.0, 17.0, 19.0]),
        g_rp_centre_mag=jnp.array([0.4, 0.8]),
        nside=nside,
    )


# ---------------------------------------------------------------- the lookup


@pytest.mark.equation("E12")
def test_at_the_centres_it_is_the_cell_and_between_them_bilinear() -> None:
    selection = made_selection()
    for pixel, i, j in ((0, 0, 0), (5, 2, 1), (11, 1, 0)):
        value = log_selection(selection, pixel, selection.g_centre_mag[i], selection.g_rp_centre_mag[j])
        np.testing.assert_allclose(value, selection.log_probability[pixel, i, j], rtol=1e-6)
    cells = np.asarray(selection.log_probability[3], float)
    expected = 0.75 * (0.5 * cells[1, 0] + 0.5 * cells[1, 1]) + 0.25 * (0.5 * cells[2, 0] + 0.5 * cells[2, 1])
    np.testing.assert_allclose(log_selection(selection, 3, 17.5, 0.6), expected, rtol=1e-5)


@pytest.mark.equation("E12")
def test_beyond_the_outermost_centres_it_is_constant_with_finite_gradients() -> None:
    selection = made_selection()
    both = jax.jit(jax.value_and_grad(lambda g, c: log_selection(selection, 7, g, c), argnums=(0, 1)))
    for g_mag, colour in ((-30.0, -9.0), (14.2, 0.3), (25.0, 3.0)):
        value, gradient = both(g_mag, colour)
        edge = selection.log_probability[7, 0 if g_mag < 17 else 2, 0 if colour < 0.6 else 1]
        np.testing.assert_allclose(value, edge, rtol=1e-6)
        assert gradient == (0.0, 0.0)
    _, inside = both(16.0, 0.6)
    assert np.isfinite(inside).all()
    assert inside[0] != 0.0


@pytest.mark.equation("E12")
def test_over_many_stars_it_is_the_same_as_one_by_one() -> None:
    selection = made_selection(nside=2)
    rng = np.random.default_rng(1)
    pixel, g_mag, colour = rng.integers(0, 48, 64), rng.uniform(13, 21, 64), rng.uniform(0, 1.2, 64)
    together = jax.jit(jax.vmap(log_selection, in_axes=(None, 0, 0, 0)))(selection, pixel, g_mag, colour)
    alone = [log_selection(selection, int(p), g, c) for p, g, c in zip(pixel, g_mag, colour, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert (together <= 0).all()


@pytest.mark.equation("E12")
def test_a_single_cell_is_a_constant() -> None:
    selection = SelectionFunction(
        log_probability=jnp.full((12, 1, 1), -0.5),
        log_mean_probability=jnp.full((12, 1), -0.5),
        uncertainty=jnp.zeros((12, 1, 1)),
        g_centre_mag=jnp.array([17.0]),
        g_rp_centre_mag=jnp.array([0.5]),
        nside=1,
    )
    assert log_selection(selection, 0, 3.0, 9.0) == -0.5


@pytest.mark.equation("E11")
def test_the_two_probabilities_of_a_subsample_multiply() -> None:
    np.testing.assert_allclose(np.exp(log_subsample_selection(np.log(0.5), np.log(0.9))), 0.45, rtol=1e-6)
    counts = made_counts(np.full((12, 3, 2), 400), 0.7)
    alone = build_selection(counts)
    log_parent = np.log(np.linspace(0.5, 1.0, 36)).reshape(12, 3)
    both = build_selection(counts, log_parent=log_parent)
    np.testing.assert_allclose(
        both.log_probability, np.asarray(alone.log_probability) + log_parent[:, :, None], atol=1e-6
    )
    np.testing.assert_allclose(
        both.uncertainty, np.asarray(alone.uncertainty) * np.exp(log_parent)[:, :, None], rtol=1e-5
    )
    with pytest.raises(InputError, match="log_parent must be finite, at most 0"):
        build_selection(counts, log_parent=-log_parent)


# ---------------------------------------------------------------- the estimate


def made_counts(parent: np.ndarray, p, seed: int = 3) -> SelectionCounts:
    rng = np.random.default_rng(seed)
    return SelectionCounts(
        parent=parent, sample=rng.binomial(parent, p), g_edges_mag=G_EDGES, g_rp_edges_mag=G_RP_EDGES, nside=1
    )


def test_the_estimate_and_its_uncertainty_are_right() -> None:
    """Pulls of 1,000 made skies: mean 0, standard deviation 1."""
    rng = np.random.default_rng(4)
    truth = np.clip(0.8 + 0.05 * rng.normal(size=(12, 3, 2)), 0.5, 0.97)
    parent = rng.integers(100, 2000, (12, 3, 2))
    pulls = []
    for seed in range(100):
        selection = build_selection(made_counts(parent, truth, seed))
        p = np.exp(np.asarray(selection.log_probability, float))
        pulls.append((p - truth) / np.asarray(selection.uncertainty, float))
    pulls = np.array(pulls)
    # 7,200 pulls: the mean is known to 0.012 and the deviation to 0.008; the lean on the sky adds less.
    assert abs(pulls.mean()) < 0.05
    assert abs(pulls.std() - 1) < 0.04


def test_the_flat_prior_is_the_published_estimator() -> None:
    counts = made_counts(np.full((12, 3, 2), 7), 0.6)
    selection = build_selection(counts, prior="flat")
    expected = stats.beta(counts.sample + 1, counts.parent - counts.sample + 1)
    np.testing.assert_allclose(np.exp(selection.log_probability), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(selection.uncertainty, expected.std(), rtol=1e-4)


def test_empty_cells_take_the_sky_s_value_and_a_wide_uncertainty() -> None:
    parent = np.full((12, 3, 2), 1000)
    parent[4] = 0  # a pixel without stars
    parent[:, 0, 1] = 0  # a colour that no bright star has
    counts = made_counts(parent, np.array([0.95, 0.9, 0.6])[None, :, None])
    selection = build_selection(counts)
    p, sigma = np.exp(np.asarray(selection.log_probability)), np.asarray(selection.uncertainty)
    np.testing.assert_allclose(p[4, 2], [0.6, 0.6], atol=0.03)
    assert p[0, 0, 1] == pytest.approx(0.95, abs=0.02), "an empty colour takes its magnitude's value"
    assert sigma[4].min() > 5 * sigma[0, 1].max()
    flat = build_selection(counts, prior="flat")
    assert np.exp(flat.log_probability[4, 2, 0]) == pytest.approx(0.5), (
        "the published estimator does not know"
    )
    with pytest.raises(InputError, match="no star of the parent"):
        build_selection(made_counts(np.zeros((12, 3, 2), int), 0.5))


@pytest.mark.equation("E12b")
def test_a_sparse_pixel_of_other_colours_keeps_its_own_mean_over_colours() -> None:
    """A million red stars over the sky, 8 blue ones of each magnitude in one pixel: its mean is that of blue stars."""
    parent = np.zeros((12, 3, 2), int)
    parent[:, :, 1] = 30_000
    parent[3] = [8, 0]
    selection = build_selection(
        SelectionCounts(
            parent=parent,
            sample=parent - parent // 7,
            g_edges_mag=G_EDGES,
            g_rp_edges_mag=G_RP_EDGES,
            nside=1,
        )
    )
    cells, mean = (
        np.exp(np.asarray(a, float)) for a in (selection.log_probability, selection.log_mean_probability)
    )
    # One star in three magnitudes beside 8 in each: its weight is 1/25, and the colours' probabilities differ by 0.2.
    np.testing.assert_allclose(mean[3], cells[3, :, 0], atol=0.2 / 25)
    # By hand, from the same cells: 8 blue stars, and a third of one star of the sky's mixture.
    share = np.array([8.0, 330_000.0]) / (3 * 330_008.0)
    own = np.array([8.0, 0.0]) + share
    np.testing.assert_allclose(mean[3], cells[3] @ own / own.sum(), rtol=1e-5)


@pytest.mark.equation("E12b")
def test_a_pixel_without_stars_of_a_magnitude_takes_the_sky_s_colours() -> None:
    parent = np.full((12, 3, 2), 900)
    parent[:, :, 1] = 100
    parent[5, 1] = 0
    selection = build_selection(made_counts(parent, np.array([0.9, 0.4])))
    cells = np.exp(np.asarray(selection.log_probability, float))
    mean = np.exp(np.asarray(selection.log_mean_probability, float))
    np.testing.assert_allclose(mean[5, 1], cells[5, 1] @ [0.9, 0.1], rtol=1e-5)


def test_stars_are_counted_in_the_cells_they_lie_in() -> None:
    rng = np.random.default_rng(5)
    n = 5000
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    g, colour = rng.uniform(13, 21, n), rng.normal(0.7, 0.4, n)
    colour[:10], g[10:20], ra[20:30] = np.nan, np.nan, np.nan
    selected = rng.uniform(size=n) < 0.5
    counts = count_stars(
        ra, dec, g, colour, selected, g_bright_mag=14.0, g_faint_mag=20.0, order=1, g_step_mag=2.0,
        g_rp_edges_mag=(0.2, 0.6, 1.0),
    )  # fmt: skip
    inside = (g > 14) & (g < 20) & np.isfinite(colour) & np.isfinite(ra)
    assert counts.parent.sum() == inside.sum()
    assert counts.sample.sum() == (inside & selected).sum()
    star = np.flatnonzero(inside & (colour > 0.6) & (g > 18))
    assert counts.parent[:, 2, 1].sum() == len(star), "colours beyond the last edge count in the last cell"


def test_the_whole_way_recovers_a_survey_that_ends_at_a_declination() -> None:
    rng = np.random.default_rng(6)
    n = 200_000
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    g, colour = rng.uniform(14, 20, n), rng.uniform(0.3, 1.1, n)
    truth = np.where(dec > -30, 0.95, 0.0) * np.where(g > 18, 0.8, 1.0)
    counts = count_stars(
        ra, dec, g, colour, rng.uniform(size=n) < truth, g_bright_mag=14.0, g_faint_mag=20.0, order=3
    )
    selection = build_selection(counts)
    pixel = selection_pixels(selection, ra[:2000], dec[:2000])
    got = np.exp(jax.vmap(log_selection, in_axes=(None, 0, 0, 0))(selection, pixel, g[:2000], colour[:2000]))
    away = (np.abs(dec[:2000] + 30) > 8) & (np.abs(g[:2000] - 18) > 0.5)
    # About 5 stars a cell: single cells scatter by 0.1, their mean must not be off. In the logarithm, between whose
    # cells is interpolated, such scatter costs half its variance, 0.01.
    north = away & (dec[:2000] > -30)
    assert np.mean(got[north] - truth[:2000][north]) == pytest.approx(-0.01, abs=0.015)
    assert np.mean(got[away & (dec[:2000] < -30)]) < 0.02
    check = check_selection(selection, counts)
    assert check.scatter_over_sky > 0.25, "a survey that covers part of the sky is not uniform"
    assert "scatter over the sky" in check.text()


def test_the_check_tells_a_uniform_selection_from_another() -> None:
    counts = made_counts(np.full((12, 3, 2), 4000), 0.97)
    check = check_selection(build_selection(counts), counts)
    assert check.mean == pytest.approx(0.97, abs=0.005)
    assert check.share_above_09 == 1.0
    assert check.scatter_over_sky < 0.005, "binomial noise is taken out"
    low, middle, high = check.quantiles
    assert low < middle < high
    steep = made_counts(np.full((12, 3, 2), 4000), np.array([1.0, 0.9, 0.5])[None, :, None])
    assert check_selection(build_selection(steep), steep).scatter_over_magnitudes == pytest.approx(
        0.216, abs=0.01
    )


# ---------------------------------------------------------------- files and impossible input


def test_it_is_stored_whole(tmp_path) -> None:
    selection = build_selection(made_counts(np.full((12, 3, 2), 50), 0.8))
    back = read_selection(write_selection(selection, tmp_path / "s.safetensors", {"stars": 3600}))
    assert back.nside == selection.nside
    for name in ("log_probability", "uncertainty", "g_centre_mag", "g_rp_centre_mag"):
        np.testing.assert_array_equal(getattr(back, name), getattr(selection, name))
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "s.safetensors").read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        read_selection(tmp_path / "cut.safetensors")
    with pytest.raises(InputError, match=r"\.safetensors file"):
        write_selection(selection, tmp_path / "s.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_probability": np.zeros((12, 3, 3))}, "shape"),
        ({"log_probability": np.full((12, 3, 2), 0.2)}, "above 1"),
        ({"log_probability": np.full((12, 3, 2), -np.inf)}, "finite"),
    ],
)
def test_damaged_parts_are_refused(change, message) -> None:
    arrays, settings = selection_to_parts(made_selection())
    with pytest.raises(ValueError, match=message):
        selection_from_parts({**arrays, **change}, settings)
    arrays.pop("uncertainty")
    with pytest.raises(ValueError, match="uncertainty"):
        selection_from_parts(arrays, settings)


def test_impossible_counts_are_refused() -> None:
    parent = np.full((12, 3, 2), 5)
    with pytest.raises(InputError, match="cannot hold more stars"):
        SelectionCounts(
            parent=parent, sample=parent + 1, g_edges_mag=G_EDGES, g_rp_edges_mag=G_RP_EDGES, nside=1
        )
    with pytest.raises(InputError, match="must have the shape"):
        SelectionCounts(parent=parent, sample=parent, g_edges_mag=G_EDGES, g_rp_edges_mag=G_RP_EDGES, nside=2)


def test_pixels_are_those_of_the_position() -> None:
    selection = made_selection(nside=2)
    icrs = SkyCoord([10.0, 200.0], [80.0, -45.0], unit="deg")
    expected = HEALPix(2, order="nested").lonlat_to_healpix(icrs.ra, icrs.dec)
    np.testing.assert_array_equal(selection_pixels(selection, icrs.ra.deg, icrs.dec.deg), expected)
    assert selection_pixels(selection, np.array([np.nan]), np.array([0.0]))[0] == 0
