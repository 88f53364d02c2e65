"""BP/RP spectra as bands, against GaiaXPy on real spectra and against sampling."""

import csv
import gzip

import numpy as np
import pytest
from astropy.table import Table

import redflower
from redflower.catalogue.spectra.bands import spectra_bands, with_bands_of
from redflower.catalogue.spectra.coefficients import Spectrum, spectrum_of
from redflower.catalogue.spectra.files import read_rows
from redflower.catalogue.spectra.matrices import ErrorFactors, SystemMatrices, error_factors, system_matrices
from redflower.catalogue.spectra.synthesis import band_fluxes, band_magnitudes
from redflower.constants import MAG_PER_RELATIVE_FLUX
from redflower.errors import InputError, TableError
from redflower.surveys import survey_named

N_BANDS = 10
#: What the archive prints its correlations and errors with; the Avro files have double precision.
SINGLE_PRECISION = 1e-6


@pytest.fixture
def xp_data(shared_data):
    """The folder of real spectra."""
    pytest.importorskip("gaiaxpy", reason="GaiaXPy is not installed (extra spectra)")
    folder = shared_data / "xp"
    if not folder.is_dir():
        pytest.skip("the shared data have no folder xp")
    return folder


def solution(folder, name, kind):
    """What GaiaXPy gave for the three stars: star to the values in the bands of the survey."""
    bands = [theirs for _, theirs in survey_named("xp").spectra.bands]
    with (folder / name).open(encoding="utf-8") as file:
        return {
            int(row["source_id"]): np.array(
                [float(row[f"HstWfc3uvis_{kind}_{band}"] or "nan") for band in bands]
            )
            for row in csv.DictReader(file)
        }


def made_matrices(n_bp=7, n_rp=5, n_bands=3, seed=1):
    """Matrices of a made-up system; the last band is seen by RP alone."""
    rng = np.random.default_rng(seed)
    design = {"bp": rng.normal(size=(n_bands, n_bp)), "rp": rng.normal(size=(n_bands, n_rp))}
    design["bp"][-1] = 0.0
    return SystemMatrices(
        system="made",
        bands=tuple("abc"[:n_bands]),
        design=design,
        flux_bias=np.zeros(n_bands),
        zero_point_mag=np.full(n_bands, 25.0),
    )


def made_spectrum(n, seed, size=1.0):
    rng = np.random.default_rng(seed)
    root = size * rng.normal(size=(n, n)) / np.sqrt(n)
    return Spectrum(rng.normal(size=n) + 3.0, root @ root.T + 1e-6 * np.eye(n), None)


def made_row(n=4, **changes):
    """A row as the archive has it: arrays as text."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(n, n))
    covariance = root @ root.T + np.eye(n)
    errors = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(errors, errors)
    row = {"source_id": "1"}
    for photometer in ("bp", "rp"):
        row |= {
            f"{photometer}_n_parameters": str(n), f"{photometer}_standard_deviation": "1.1",
            f"{photometer}_coefficients": str(tuple(map(float, range(1, n + 1)))),
            f"{photometer}_coefficient_errors": str(tuple(map(float, errors))),
            f"{photometer}_coefficient_correlations": str(tuple(map(float, correlation[np.tril_indices(n, -1)]))),
        }  # fmt: skip
    return {**row, **changes}, covariance


@pytest.mark.equation("EX1")
@pytest.mark.parametrize(
    "name", ["XP_CONTINUOUS_RAW_with_missing_BP.csv", "MeanSpectrumSolutionWithCov.avro"]
)
def test_magnitudes_and_errors_are_those_of_gaiaxpy_on_real_spectra(xp_data, name) -> None:
    """GaiaXPy's own test files: what `generate` gave for these stars, with its errors as they are and corrected."""
    for errors, file in (("formal", ""), ("montegriffo2023", "_error_correction")):
        reference = f"generator_solution_with_missing_BP{file}.csv"
        magnitudes, fluxes, flux_errors = (
            solution(xp_data, reference, k) for k in ("mag", "flux", "flux_error")
        )
        table, _ = spectra_bands(xp_data / name, errors=errors)
        for row in table:
            star = int(row["source_id"])
            ours = np.array([row[band.magnitude_column] for band in survey_named("xp").bands])
            error = np.array([row[band.error_column] for band in survey_named("xp").bands])
            there = np.isfinite(magnitudes[star])
            assert there.sum() in (0, N_BANDS)
            np.testing.assert_allclose(ours[there], magnitudes[star][there], atol=1e-4)
            expected = MAG_PER_RELATIVE_FLUX * flux_errors[star][there] / fluxes[star][there]
            np.testing.assert_allclose(error[there], expected, rtol=SINGLE_PRECISION)


@pytest.mark.slow
def test_fainter_stars_and_a_standardised_system_are_those_of_generate_itself(xp_data) -> None:
    """The library as installed, on stars of G = 15 to 17; importing it takes half a minute on a busy machine."""
    from gaiaxpy import PhotometricSystem, generate

    path = xp_data / "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv"
    systems = [PhotometricSystem.HST_WFC3UVIS, PhotometricSystem.PanSTARRS1_Std]
    theirs = generate(path, photometric_system=systems, save_file=False, error_correction=True)
    for label in ("HstWfc3uvis", "Panstarrs1Std"):
        matrices = system_matrices(label)
        factors = error_factors(label, matrices.bands)
        g_system = system_matrices("GaiaDr3Vega").choose(["G"])
        for row, (_, expected) in zip(read_rows(path), theirs.iterrows(), strict=True):
            spectra = {p: spectrum_of(row, p, "row") for p in ("bp", "rp")}
            g_mag = band_magnitudes(band_fluxes(spectra, g_system), g_system.zero_point_mag).magnitude_mag
            fluxes = band_fluxes(spectra, matrices).scaled(factors(g_mag)[0])
            magnitude = band_magnitudes(fluxes, matrices.zero_point_mag, 1e-9).magnitude_mag
            for i, band in enumerate(matrices.bands):
                if np.isfinite(expected[f"{label}_mag_{band}"]):
                    assert magnitude[i] == pytest.approx(expected[f"{label}_mag_{band}"], abs=1e-4)
                error = np.sqrt(fluxes.covariance[i, i])
                assert error == pytest.approx(expected[f"{label}_flux_error_{band}"], rel=1e-5)


@pytest.mark.equation("EX1")
def test_the_covariance_of_fluxes_is_that_of_drawn_coefficients() -> None:
    matrices = made_matrices()
    spectra = {"bp": made_spectrum(7, 2), "rp": made_spectrum(5, 3)}
    fluxes = band_fluxes(spectra, matrices)
    rng = np.random.default_rng(4)
    n_draws = 40_000
    drawn = sum(
        rng.multivariate_normal(s.coefficients, s.covariance, n_draws) @ matrices.design[name].T
        for name, s in spectra.items()
    )
    scale = np.sqrt(np.outer(*[np.diag(fluxes.covariance)] * 2))
    # A sample covariance in units of the deviations scatters by at most sqrt(2 / n) = 0.007; five of these.
    np.testing.assert_allclose(np.cov(drawn.T) / scale, fluxes.covariance / scale, atol=0.035)
    np.testing.assert_allclose(
        drawn.mean(axis=0), fluxes.flux, atol=5 * np.sqrt(np.diag(fluxes.covariance).max() / n_draws)
    )
    correlation = fluxes.covariance / scale
    assert np.abs(correlation[np.tril_indices(3, -1)]).max() > 0.2  # there is something to get wrong


@pytest.mark.equation("EX2")
def test_the_covariance_of_magnitudes_is_that_of_drawn_fluxes() -> None:
    matrices = made_matrices()
    spectra = {"bp": made_spectrum(7, 2, size=0.02), "rp": made_spectrum(5, 3, size=0.02)}
    fluxes = band_fluxes(spectra, matrices)
    fluxes.flux[:] = np.abs(fluxes.flux)
    found = band_magnitudes(fluxes, matrices.zero_point_mag)
    n_draws = 40_000
    drawn = np.random.default_rng(6).multivariate_normal(fluxes.flux, fluxes.covariance, n_draws)
    scale = np.sqrt(np.outer(*[np.diag(found.covariance_mag2)] * 2))
    ratio = (np.sqrt(np.diag(fluxes.covariance)) / fluxes.flux).max()
    assert ratio < 0.1
    # Sampling as above; the delta method leaves out terms of the order of the relative error squared.
    np.testing.assert_allclose(
        np.cov((25.0 - 2.5 * np.log10(drawn)).T) / scale,
        found.covariance_mag2 / scale,
        atol=0.035 + 3 * ratio**2,
    )
    np.testing.assert_allclose(found.magnitude_mag, 25.0 - 2.5 * np.log10(fluxes.flux))


def test_a_flux_that_is_negative_or_lost_in_noise_makes_no_magnitude() -> None:
    fluxes = band_fluxes({"bp": made_spectrum(7, 2), "rp": made_spectrum(5, 3)}, made_matrices())
    fluxes.flux[:] = (-1.0, 1.0, 1.0)
    fluxes.covariance[:] = np.diag([0.01, 0.11, 0.09]) ** 2
    found = band_magnitudes(fluxes, np.zeros(3), least_signal_to_noise=10.0)
    assert found.negative.tolist() == [True, False, False]
    assert found.faint.tolist() == [False, True, False]
    assert np.isfinite(found.magnitude_mag).tolist() == [False, False, True]
    assert np.isfinite(found.covariance_mag2).sum() == 1


def test_a_missing_photometer_costs_the_bands_that_it_sees_and_no_more() -> None:
    matrices = made_matrices()
    found = band_fluxes({"bp": None, "rp": made_spectrum(5, 3)}, matrices)
    assert np.isnan(found.flux).tolist() == [True, True, False]
    assert np.isfinite(found.covariance).sum() == 1
    assert np.isnan(band_fluxes({"bp": None, "rp": None}, matrices).flux).all()


def test_a_real_star_without_bp_keeps_its_red_bands_and_the_run_goes_on(xp_data) -> None:
    table, report = spectra_bands(xp_data / "XP_CONTINUOUS_RAW_with_missing_BP.csv")
    assert len(table) == 3
    assert report.n_without == {"bp": 1, "rp": 0}
    (lone,) = (row for row in table if np.isnan(row["xp_f410m_mag"]))
    assert np.isfinite(lone["xp_f845m_mag"])
    assert np.isfinite(lone["xp_covariance"]).sum() == 3  # two bands: two variances and a covariance
    assert "1 without BP" in report.text()


def test_the_covariance_column_is_the_lower_triangle_row_by_row(xp_data) -> None:
    table, _ = spectra_bands(xp_data / "XP_CONTINUOUS_RAW.csv")
    rows, columns = np.tril_indices(N_BANDS)
    for star in table:
        matrix = np.zeros((N_BANDS, N_BANDS))
        matrix[rows, columns] = matrix[columns, rows] = star["xp_covariance"]
        errors = [star[band.error_column] for band in survey_named("xp").bands]
        np.testing.assert_allclose(np.sqrt(np.diag(matrix)), errors, rtol=1e-12)
        correlation = matrix / np.outer(errors, errors)
        assert np.linalg.eigvalsh(correlation)[0] > 0
        # F390M and F410M overlap in what BP resolves: two real stars have -0.21.
        assert -0.3 < correlation[1, 0] < -0.1


def test_an_array_may_be_text_of_any_bracket_a_list_or_a_masked_array() -> None:
    row, covariance = made_row()
    plain = spectrum_of(row, "bp", "row")
    np.testing.assert_allclose(plain.covariance, covariance, rtol=1e-12)
    for change in (lambda t: "[" + t[1:-1].replace(",", " ") + "]", lambda t: "{" + t[1:-1] + "}",
                   lambda t: np.array(eval(t)), lambda t: np.ma.masked_invalid(eval(t)), lambda t: list(eval(t))):  # fmt: skip
        changed = {k: change(v) if str(v).startswith("(") else v for k, v in row.items()}
        np.testing.assert_array_equal(spectrum_of(changed, "bp", "row").covariance, plain.covariance)
    whole = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    matrix = spectrum_of({**row, "bp_coefficient_correlations": whole}, "bp", "row")
    np.testing.assert_allclose(matrix.covariance, covariance, rtol=1e-12)
    fitted = {"bp_coefficients": row["bp_coefficients"], "bp_standard_deviation": 2.0}
    fitted["bp_coefficient_covariances"] = covariance[np.tril_indices(4)] / 4.0
    np.testing.assert_allclose(spectrum_of(fitted, "bp", "row").covariance, covariance, rtol=1e-12)
    assert spectrum_of({**row, "bp_coefficients": ""}, "bp", "row") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bp_coefficients": "(1.0, 2.0)"}, "bp_n_parameters says 4 coefficients, and bp_coefficients has 2"),
        ({"bp_coefficient_errors": "(1.0, 2.0)"}, "has 4 numbers and bp_coefficient_errors 2"),
        ({"bp_coefficient_errors": "(1.0, 2.0, 0.0, 1.0)"}, "bp_coefficient_errors must be positive; got 0"),
        ({"bp_coefficient_correlations": "(0.1, 0.2)"}, "have 6 correlations .10 with the diagonal.; got 2"),
        ({"bp_coefficient_correlations": "(9, 0, 0, 0, 0, 0)"}, "must lie between -1 and 1; got 9"),
        ({"bp_coefficient_correlations": "(0.9, -0.9, 0.9, 0, 0, 0)"}, "must be positive; its lowest eigenvalue is -0.8"),
        ({"bp_coefficient_correlations": ""}, "without them a magnitude has no error"),
        ({"bp_coefficients": "(1.0, b)"}, "an array of numbers is needed"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused_in_one_message(change, message) -> None:
    row, _ = made_row(**change)
    with pytest.raises(InputError, match=message):
        spectrum_of(row, "bp", "file, source_id 1")


def test_coefficients_of_another_basis_are_refused(xp_data) -> None:
    """A later data cycle has 48 and 44 coefficients, and Gaia DR4 51 in BP: sizes are read, and never assumed."""
    path = xp_data / "regular_single_source.avro"
    (row,) = read_rows(path)
    assert [len(spectrum_of(row, p, "row").coefficients) for p in ("bp", "rp")] == [48, 44]
    with pytest.raises(
        InputError, match=r"source_id 1027: 48 BP coefficients.*are for 55 coefficients of basis 56"
    ):
        spectra_bands(path)
    spectrum = made_spectrum(7, 2)
    with pytest.raises(InputError, match="7 BP coefficients of basis 93"):
        band_fluxes(
            {"bp": Spectrum(spectrum.coefficients, spectrum.covariance, 93), "rp": None}, made_matrices()
        )


def test_every_format_of_the_same_rows_gives_the_same_arrays(tmp_path) -> None:
    row, covariance = made_row()
    names = list(row)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, [row[name] for name in names]])
    with gzip.open(tmp_path / "b.ecsv.gz", "wt") as file:  # as the archive's bulk files are
        file.write("# %ECSV 1.0\n# ---\n")
        csv.writer(file).writerows([[name.upper() for name in names], [row[name] for name in names]])
    arrays = {name: [np.array(eval(v)) if v.startswith("(") else float(v)] for name, v in row.items()}
    arrays["source_id"] = np.array([1])
    table = Table(arrays)
    table.write(tmp_path / "c.vot", format="votable")
    table.write(tmp_path / "d.fits")
    redflower.write_table(table, tmp_path / "e.parquet")
    for path in sorted(tmp_path.iterdir()):
        (read,) = read_rows(path)
        found = spectrum_of(read, "rp", path.name)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)
        assert int(read["source_id"]) == 1


def test_a_file_that_is_none_of_spectra_is_named(tmp_path) -> None:
    for name, text, message in (
        ("a.txt", "x", "files of spectra end in"),
        ("b.csv", "", "is empty"),
        ("c.csv", "source_id,bp_coefficients\n1\n", "row 1 has 1 of 2 cells"),
        ("d.fits", "no fits", "cannot be read as .fits"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(TableError, match=message):
            list(read_rows(tmp_path / name))
    with pytest.raises(TableError, match="there is no such file"):
        list(read_rows(tmp_path / "none.csv"))


def test_without_gaiaxpy_one_message_names_the_extra(monkeypatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from redflower.catalogue.spectra import matrices

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(matrices, "version", absent)
    with pytest.raises(InputError, match=r"pip install 'redflower\[spectra\]'"):
        spectra_bands("spectra.csv")


def test_what_cannot_be_asked_is_refused(xp_data) -> None:
    path = xp_data / "XP_CONTINUOUS_RAW.csv"
    for asked, message in (
        ({"survey": "sdss"}, "sdss does not say how its bands come from spectra"),
        ({"errors": "huang2024"}, "wavelength .such as Huang et al. 2024. are not built in"),
        ({"least_signal_to_noise": 0.0}, "--least-snr must be positive"),
    ):
        with pytest.raises(InputError, match=message):
            spectra_bands(path, **asked)
    with pytest.raises(InputError, match="is there twice"):
        spectra_bands([path, path])
    with pytest.raises(InputError, match="GaiaXPy has no system 'Nonsense'; it has .*Jplus"):
        system_matrices("Nonsense")
    with pytest.raises(InputError, match="has no band 'q'"):
        system_matrices("Jplus").choose(["q"])


def test_factors_of_errors_run_on_from_the_middle_of_a_bin() -> None:
    factors = ErrorFactors(np.array([10.0, 11.0, 12.0]), np.array([[2.0], [1.0]]))
    found = factors(np.array([9.0, 10.2, 10.5, 10.75, 11.0, 11.9, 13.0, np.nan]))[:, 0]
    np.testing.assert_allclose(found, [2.0, 2.0, 2.0, 1.5, 1.0, 1.0, 1.0, 1.0])


def test_bands_are_joined_to_stars_by_their_identifier() -> None:
    spectra = Table(
        {"source_id": [3, 1], "xp_f410m_mag": [13.0, 11.0], "xp_covariance": [[0.3, 0.3], [0.1, 0.1]]}
    )
    joined = with_bands_of(Table({"source_id": [1, 2, 3]}), spectra)
    np.testing.assert_array_equal(joined["xp_f410m_mag"], [11.0, np.nan, 13.0])
    np.testing.assert_array_equal(joined["xp_covariance"], [[0.1, 0.1], [np.nan, np.nan], [0.3, 0.3]])
    with pytest.raises(InputError, match="none of its 1 stars has one of the 2 spectra"):
        with_bands_of(Table({"source_id": [9]}), spectra)
    with pytest.raises(InputError, match="whole numbers in the column source_id"):
        with_bands_of(Table({"source_id": [1.0]}), spectra)
    with pytest.raises(InputError, match="xp_f410m_mag already"):
        with_bands_of(joined, spectra)
