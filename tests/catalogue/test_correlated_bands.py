"""Bands with correlated errors, and bands of the same light: from a raw table to a prepared one."""

import numpy as np
import pytest
from astropy.table import Column

import redflower
from redflower.catalogue import default_distance_prior, to_stars
from redflower.catalogue.covariances import correlations, covariance_columns, lower_triangles
from redflower.catalogue.prepared import table_bands
from redflower.errors import InputError
from redflower.provenance import COVARIANCE_KEY, META_KEY
from redflower.surveys import survey_named
from tests.helpers.raw_stars import raw_stars

XP = survey_named("xp")
N_BANDS = len(XP.bands)


def with_spectra(raw, seed=3):
    """A raw table with bands of spectra: magnitudes near G, errors of 0.01 to 0.02 mag and correlations of up to 0.5."""
    table = raw.copy()
    rng = np.random.default_rng(seed)
    n = len(table)
    root = np.eye(N_BANDS) + 0.4 * np.eye(N_BANDS, k=-1)
    correlation = root @ root.T
    correlation /= np.sqrt(np.outer(np.diag(correlation), np.diag(correlation)))
    errors = rng.uniform(0.01, 0.02, size=(n, N_BANDS))
    covariance = errors[:, :, None] * correlation * errors[:, None, :]
    for i, band in enumerate(XP.bands):
        magnitude = np.asarray(table["phot_g_mean_mag"], dtype=float) + 0.1 * i
        magnitude[0] = np.nan  # the first star has no spectrum
        table[band.magnitude_column] = Column(magnitude, unit="mag")
        table[band.error_column] = Column(np.where(np.arange(n) == 0, np.nan, errors[:, i]), unit="mag")
    rows, columns = np.tril_indices(N_BANDS)
    triangle = covariance[:, rows, columns]
    triangle[0] = np.nan
    table[XP.covariance] = Column(triangle, unit="mag2")
    return table, errors, correlation


@pytest.fixture(scope="module")
def raw():
    return raw_stars(60)


@pytest.fixture(scope="module")
def spectra(raw):
    return with_spectra(raw)


def test_a_prepared_table_carries_the_covariance_and_says_of_which_bands(spectra, tmp_path) -> None:
    table, errors, correlation = spectra
    redflower.write_table(table, tmp_path / "raw.parquet")
    prepared = redflower.prepare(tmp_path / "raw.parquet", purpose="inference", surveys=["xp"]).table
    assert prepared.meta[META_KEY][COVARIANCE_KEY] == {XP.covariance: [band.name for band in XP.bands]}
    redflower.write_table(prepared, tmp_path / "stars.fits")
    read = redflower.read_table(tmp_path / "stars.fits")
    assert covariance_columns(read) == {XP.covariance: tuple(band.name for band in XP.bands)}
    bands = table_bands(read)
    error_mag = np.stack([np.asarray(read[f"{band.name}_error"], dtype=float) for band in bands], axis=1)
    found = correlations(read, bands, error_mag)
    place = {int(star): i for i, star in enumerate(table["source_id"])}
    star = next(i for i, one in enumerate(read["source_id"]) if place[int(one)] > 0)
    own = [bands.index[band.name] for band in XP.bands]
    of_star = errors[place[int(read["source_id"][star])]]
    # The floor of 0.01 mag is in the errors and not in the covariance: correlations shrink by what it adds.
    shrunk = of_star / np.hypot(of_star, 0.01)
    expected = correlation * np.outer(shrunk, shrunk)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(found[star][np.ix_(own, own)], expected, rtol=1e-9, atol=1e-12)
    others = [i for i in range(len(bands)) if i not in own]
    np.testing.assert_array_equal(found[star][np.ix_(others, others)], np.eye(len(others)))
    np.testing.assert_array_equal(found[star][np.ix_(own, others)], 0.0)


def test_bp_and_rp_are_dropped_aloud_beside_spectra_and_kept_without(raw, spectra) -> None:
    prepared = redflower.prepare(spectra[0], purpose="inference", surveys=["xp"])
    first = np.asarray(prepared.table["source_id"]) == raw["source_id"][0]
    assert first.sum() == 1  # the star without a spectrum
    for name in ("gaia_bp", "gaia_rp"):
        np.testing.assert_array_equal(np.isfinite(prepared.table[name]), first)
    assert np.isfinite(prepared.table["gaia_g"]).all()  # G is measured by other detectors
    n = len(prepared.table) - 1
    (note,) = (note for note in prepared.report.notes if note.startswith("BP and RP set missing"))
    assert int(note.split(" for ")[1].split()[0]) >= n
    assert "photons that counted twice" in note
    training = redflower.prepare(spectra[0], purpose="training", surveys=["xp"])
    assert np.isfinite(training.table["gaia_bp"]).all()  # a model has to learn both
    assert any(note.startswith("BP and RP kept for") for note in training.report.notes)
    plain = redflower.prepare(spectra[0], purpose="inference").table
    assert np.isfinite(plain["gaia_bp"]).all()
    assert correlations(plain, table_bands(plain), np.ones((len(plain), 11))) is None


def test_errors_without_their_covariance_are_said_to_be_wrong(spectra) -> None:
    table = spectra[0].copy()
    table.remove_column(XP.covariance)
    notes = redflower.prepare(table, purpose="inference", surveys=["xp"]).report.notes
    assert any(
        "xp has no column xp_covariance: its errors are taken as independent" in note for note in notes
    )


def test_a_covariance_that_cannot_be_is_refused_in_one_message(spectra) -> None:
    table = spectra[0]
    for change, message in (
        (lambda c: c[:, :20], "must hold 55 numbers for each star.*got 20"),
        (lambda c: c[:, 0], "must hold 55 numbers for each star.*got one number"),
        (lambda c: 1e-3 * c, "the diagonal must be the squares of the errors; band 1 of"),
        (lambda c: np.where(np.isin(np.arange(55), [1, 3, 4]), np.array([0, 1, 0, -1, 1] + 50 * [0]) * 1e-4, c),
         "is of no positive matrix"),
    ):  # fmt: skip
        broken = table.copy()
        broken[XP.covariance] = Column(change(np.asarray(table[XP.covariance])), unit="mag2")
        with pytest.raises(InputError, match=message):
            redflower.prepare(broken, purpose="inference", surveys=["xp"])


def test_a_triangle_is_read_row_by_row() -> None:
    from astropy.table import Table

    matrix = lower_triangles(Table({"c": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]}), "c", 3)[0]
    np.testing.assert_array_equal(matrix, [[1, 2, 4], [2, 3, 5], [4, 5, 6]])


@pytest.mark.equation("E5b")
def test_stars_of_a_prepared_table_carry_what_whitens_their_errors(spectra) -> None:
    prepared = redflower.prepare(spectra[0], purpose="inference", surveys=["xp"]).table
    bands = table_bands(prepared)
    stars = to_stars(prepared, default_distance_prior(), bands=bands).stars
    observed = np.asarray(stars.observed)
    error_mag = np.stack([np.asarray(prepared[f"{band.name}_error"], dtype=float) for band in bands], axis=1)
    correlation = correlations(prepared, bands, error_mag)
    both = observed[:, :, None] & observed[:, None, :]
    correlation = np.where(both, correlation, np.eye(len(bands)))
    assert np.abs(correlation - np.eye(len(bands))).max() > 0.2
    w = np.asarray(stars.error_whitener, dtype=float)
    np.testing.assert_allclose(
        w @ correlation @ w.transpose(0, 2, 1), np.broadcast_to(np.eye(len(bands)), w.shape), atol=1e-5
    )
    plain = to_stars(prepared, default_distance_prior()).stars
    assert plain.error_whitener is None  # a model without these bands
    changed = prepared.copy()
    changed[XP.covariance] = Column(-4.0 * np.asarray(prepared[XP.covariance]), unit="mag2")
    with pytest.raises(InputError, match="is of no positive matrix: its column was changed since `prepare`"):
        to_stars(changed, default_distance_prior(), bands=bands)


def test_synthetic_photometry_is_cut_to_its_validated_range_band_by_band(raw) -> None:
    table = raw.copy()
    n = len(table)
    for i, band in enumerate("ugriz"):
        magnitude = np.asarray(raw["phot_g_mean_mag"], dtype=float) + 0.1 * i
        table[f"{band}_sdss_mag"] = Column(magnitude, unit="mag")
        table[f"{band}_sdss_flux"] = 10.0 ** (-0.4 * (magnitude + 56.1))
        table[f"{band}_sdss_flux_error"] = 0.01 * table[f"{band}_sdss_flux"]
        table[f"{band}_sdss_flag"] = np.ones(n, dtype=np.int16)
    table["u_sdss_flag"][:7] = 0
    prepared = redflower.prepare(table, purpose="inference", surveys=["gspc"])
    assert np.isnan(prepared.table["gspc_u"]).sum() == 7
    assert np.isfinite(prepared.table["gspc_g"]).all()
    assert np.isnan(prepared.table["gaia_bp"]).all()  # of the same light
    assert any("GSPC u: bands set missing for 7 stars" in note for note in prepared.report.notes)
    del table["u_sdss_flag"]
    assert np.isfinite(redflower.prepare(table, purpose="inference", surveys=["gspc"]).table["gspc_u"]).all()
