"""From a prepared table to the arrays of the model: every row, finite everywhere."""

import jax
import numpy as np
import pytest

from redflower.bands import BANDS
from redflower.catalogue import DistancePrior, prepare, to_stars
from redflower.star import blank_stars
from tests.helpers.raw_stars import raw_stars


@pytest.fixture
def flat_prior() -> DistancePrior:
    return DistancePrior(
        log_length_pc=np.full(12, 6.0), alpha=np.full(12, 1.0), beta=np.full(12, 2.0), name="flat", sha256=""
    )


def test_stars_are_the_rows_of_the_table_with_finite_fillers(flat_prior):
    table = prepare(raw_stars(), purpose="inference").table
    table["tmass_j"][0] = np.nan
    table["parallax"][1] = np.nan
    table["parallax_error"][2] = 0.0
    batch = to_stars(table, flat_prior)
    stars = batch.stars
    assert batch.usable.all()
    assert stars.magnitude_mag.shape == (50, 11)
    for i, band in enumerate(BANDS):
        seen = np.asarray(stars.observed)[:, i]
        assert np.allclose(np.asarray(stars.magnitude_mag)[seen, i], table[band.name][seen], rtol=1e-7)
        assert np.allclose(
            np.asarray(stars.magnitude_error_mag)[seen, i], table[f"{band.name}_error"][seen], rtol=1e-6
        )
    assert not stars.observed[0, 8]
    assert (stars.magnitude_mag[0, 8], stars.magnitude_error_mag[0, 8]) == (0.0, 1.0)
    assert np.asarray(stars.has_parallax)[:4].tolist() == [True, False, False, True]
    assert (stars.parallax_mas[1], stars.parallax_error_mas[1]) == (0.0, 1.0)
    for field in jax.tree.leaves(stars):
        assert field.dtype in ("float32", "bool", "int32")
        assert np.isfinite(np.asarray(field)).all()


def test_a_star_that_cannot_be_inferred_keeps_its_row_and_has_a_reason(flat_prior):
    table = prepare(raw_stars(), purpose="inference").table
    table["gaia_g"][0] = np.nan
    for band in BANDS[2:]:
        table[band.name][1] = np.nan
    table["ra"][2] = np.nan
    table["gaia_g_error"][3] = -1.0
    batch = to_stars(table, flat_prior)
    assert batch.reason[:5].tolist() == ["usable", "fewer than 3 bands", "no position", "usable", "usable"]
    assert not np.asarray(batch.stars.observed)[[0, 3], 0].any()
    assert batch.usable.sum() == 48
    assert len(batch.stars.parallax_mas) == 50
    for field in jax.tree.leaves(batch.stars):
        assert np.isfinite(np.asarray(field)).all()


def test_an_empty_prepared_table_gives_no_stars(flat_prior):
    batch = to_stars(prepare(raw_stars(), purpose="inference").table[:0], flat_prior)
    assert batch.stars.magnitude_mag.shape == (0, 11)


def test_the_order_of_rows_and_columns_does_not_matter(flat_prior):
    raw = raw_stars()
    rng = np.random.default_rng(5)
    rows = rng.permutation(len(raw))
    shuffled = raw[list(rng.permutation(raw.colnames))][rows]
    a = to_stars(prepare(raw, purpose="inference").table, flat_prior).stars
    b = to_stars(prepare(shuffled, purpose="inference").table, flat_prior).stars
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.array_equal(np.asarray(one)[rows], np.asarray(other))


def test_blank_stars_are_of_the_types_of_a_tables_stars(flat_prior):
    """Programs are read ahead for blank ones: those of other types would be read for nothing."""
    stars = to_stars(prepare(raw_stars(), purpose="inference").table, flat_prior).stars
    blank = blank_stars(1, stars.magnitude_mag.shape[1])
    assert jax.tree.structure(stars) == jax.tree.structure(blank)
    for one, other in zip(jax.tree.leaves(stars), jax.tree.leaves(blank), strict=True):
        assert (one.dtype, one.shape[1:]) == (other.dtype, other.shape[1:])
