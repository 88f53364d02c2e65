"""From files of BP/RP spectra to a table of magnitudes in a survey's bands, with their covariance."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from astropy.table import Column, Table

from redflower.catalogue.spectra.coefficients import PHOTOMETERS, Spectrum, source_id, spectrum_of
from redflower.catalogue.spectra.files import read_rows
from redflower.catalogue.spectra.matrices import error_factors, library_version, system_matrices
from redflower.catalogue.spectra.synthesis import (
    LEAST_SIGNAL_TO_NOISE,
    BandMagnitudes,
    band_fluxes,
    band_magnitudes,
)
from redflower.errors import InputError
from redflower.files import file_sha256
from redflower.provenance import META_KEY, VERSION
from redflower.survey import Survey
from redflower.surveys import survey_named

#: What the errors of coefficients may be multiplied by, by name.
ErrorRule = Literal["montegriffo2023", "formal"]
#: The system whose G the published factors of the errors run with.
_G_SYSTEM: Final = "GaiaDr3Vega"


@dataclass(frozen=True)
class SpectraReport:
    """What became of spectra.

    Attributes
    ----------
    survey, errors, library : its bands' name, the rule of the errors, and the version of GaiaXPy.
    n_spectra, n_without : rows, and those without BP and without RP.
    bands : label of each band to the counts ``measured``, ``no spectrum``, ``negative`` and ``faint``.
    """

    survey: str
    errors: str
    library: str
    n_spectra: int
    n_without: Mapping[str, int]
    bands: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the report as lines."""
        factors = (
            "formal errors"
            if self.errors == "formal"
            else "errors times the factors of Montegriffo et al. (2023)"
        )
        lines = [
            f"{self.n_spectra:,} spectra in the bands of {self.survey} (GaiaXPy {self.library}, {factors})",
            *(
                f"{n:,} without {name.upper()}: they lack the bands that it sees"
                for name, n in self.n_without.items()
                if n
            ),
        ]
        for label, counts in self.bands.items():
            said = [f"{counts['measured']:,} magnitudes"]
            said += [f"{counts['no spectrum']:,} without a spectrum"] if counts["no spectrum"] else []
            said += [f"{counts['negative']:,} negative fluxes"] if counts["negative"] else []
            said += [f"{counts['faint']:,} of too low signal-to-noise"] if counts["faint"] else []
            lines.append(f"  {label}: {', '.join(said)}")
        return "\n".join(lines)


def spectra_bands(
    paths: "str | Path | Iterable[str | Path]",
    survey: "str | Path | Survey" = "xp",
    *,
    errors: ErrorRule = "montegriffo2023",
    least_signal_to_noise: float = LEAST_SIGNAL_TO_NOISE,
    progress: Callable[[int], None] | None = None,
) -> tuple[Table, SpectraReport]:
    """Compute magnitudes in a survey's bands from the coefficients of BP and RP spectra, with their full covariance.

    Parameters
    ----------
    paths : files of coefficients as the Gaia archive (``XP_CONTINUOUS``, RAW), its mirrors or GaiaXPy deliver them.
    survey : whose file says how its bands come from spectra: a name, or a file.
    errors : ``montegriffo2023`` multiplies the errors by the factors that Montegriffo et al. (2023) found with G, and leaves the
        correlations as they are; ``formal`` takes the errors of the coefficients.
    least_signal_to_noise : of a flux, below which it makes no magnitude.
    progress : called with the number of spectra so far. If None, nothing is said.

    Returns
    -------
    A row per spectrum: ``source_id``, for each band magnitude and error [mag], and the covariance [mag^2] under the name that the
    survey gives it: the lower triangle of the bands in their order, row by row, with the diagonal. And what became of them.

    Raises
    ------
    InputError
        If GaiaXPy is not installed, the survey has no spectra, the coefficients are of another basis, or a row is damaged.

    Examples
    --------
    >>> from redflower.surveys import survey_named
    >>> [band.label for band in survey_named("xp").bands][:3]
    ['F390M', 'F410M', 'F438W']
    """
    chosen = survey if isinstance(survey, Survey) else survey_named(survey)
    if chosen.spectra is None or chosen.covariance is None:
        raise InputError(
            f"spectra: the survey {chosen.name} does not say how its bands come from spectra: its file needs [spectra] and "
            "covariance (`redflower surveys xp --show` has both)."
        )
    if errors not in get_args(ErrorRule):
        raise InputError(
            f"--errors must be one of {', '.join(get_args(ErrorRule))}; got {errors!r}. Corrections of the spectra themselves "
            "with wavelength (such as Huang et al. 2024) are not built in: correct the coefficients before."
        )
    if not least_signal_to_noise > 0:
        raise InputError(f"--least-snr must be positive; got {least_signal_to_noise!r}.")
    theirs = [dict(chosen.spectra.bands)[band.name] for band in chosen.bands]
    matrices = system_matrices(chosen.spectra.system).choose(theirs)
    g_system = system_matrices(_G_SYSTEM).choose(["G"])
    factors = error_factors(chosen.spectra.system, theirs) if errors == "montegriffo2023" else None
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    ids: list[int] = []
    rows: list[BandMagnitudes] = []
    without = dict.fromkeys(PHOTOMETERS, 0)
    for path in files:
        for row in read_rows(path):
            star = source_id(row, str(path))
            where = f"{path}, source_id {star}"
            spectra: dict[str, Spectrum | None] = {p: spectrum_of(row, p, where) for p in PHOTOMETERS}
            for name in PHOTOMETERS:
                without[name] += spectra[name] is None
            fluxes = band_fluxes(spectra, matrices, where)
            if factors is not None:
                g_mag = band_magnitudes(band_fluxes(spectra, g_system, where), g_system.zero_point_mag, 1e-9)
                fluxes = fluxes.scaled(factors(g_mag.magnitude_mag)[0])
            ids.append(star)
            if progress is not None:
                progress(len(ids))
            rows.append(band_magnitudes(fluxes, matrices.zero_point_mag, least_signal_to_noise))
    _check_ids(ids, files)
    table = _table(ids, rows, chosen)
    table.meta[META_KEY] = {
        "stage": "spectra", "redflower": VERSION, "gaiaxpy": library_version(), "survey": chosen.name,
        "system": chosen.spectra.system, "errors": errors, "least_signal_to_noise": float(least_signal_to_noise),
        "input": [{"file": Path(path).name, "sha256": file_sha256(Path(path))} for path in files],
    }  # fmt: skip
    report = SpectraReport(
        survey=chosen.name, errors=errors, library=library_version(), n_spectra=len(ids), n_without=without,
        bands=_counts(rows, chosen),
    )  # fmt: skip
    return table, report


def with_bands_of(stars: Table, spectra: Table) -> Table:
    """Return a raw table with the columns of `spectra_bands` joined by ``source_id``; a star without a spectrum has NaN.

    Raises
    ------
    InputError
        If the table has no ``source_id``, has one of the columns already, or no star has a spectrum.
    """
    if "source_id" not in stars.colnames or stars["source_id"].dtype.kind not in "iu":
        raise InputError(
            "--stars: the table needs whole numbers in the column source_id, by which spectra are joined."
        )
    further = [name for name in spectra.colnames if name != "source_id"]
    twice = [name for name in further if name in stars.colnames]
    if twice:
        raise InputError(
            f"--stars: the table has the column {twice[0]} already; take it out, or join to the table of before."
        )
    place = {int(star): i for i, star in enumerate(np.asarray(spectra["source_id"]))}
    found = np.array([place.get(int(star), -1) for star in np.asarray(stars["source_id"])], dtype=int)
    if not (found >= 0).any():
        raise InputError(
            f"--stars: none of its {len(stars):,} stars has one of the {len(spectra):,} spectra: are they of one release of Gaia?"
        )
    joined = stars.copy(copy_data=False)
    for name in further:
        values = np.asarray(spectra[name])[np.maximum(found, 0)].copy()
        values[found < 0] = np.nan
        column = spectra[name]
        joined[name] = Column(values, unit=column.unit, description=column.description)
    meta = dict(joined.meta.get(META_KEY, {}))
    joined.meta[META_KEY] = {**meta, "spectra": spectra.meta.get(META_KEY, {})}
    return joined


def _check_ids(ids: list[int], files: "list[str | Path]") -> None:
    said = ", ".join(str(path) for path in files[:3])
    if not ids:
        raise InputError(f"{said or 'spectra'}: there is no spectrum in it.")
    values, counts = np.unique(np.array(ids, dtype=np.int64), return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"{said}: source_id {values[counts > 1][0]} is there twice; each star has one mean spectrum. Keep one of its rows."
        )


def _table(ids: list[int], rows: list[BandMagnitudes], survey: Survey) -> Table:
    magnitude = np.stack([row.magnitude_mag for row in rows])
    error = np.stack([row.error_mag for row in rows])
    below = np.tril_indices(len(survey.bands))
    covariance = np.stack([row.covariance_mag2[below] for row in rows])
    table = Table()
    table["source_id"] = Column(np.array(ids, dtype=np.int64), description="identifier of the star in Gaia")
    for i, band in enumerate(survey.bands):
        what = f"{band.label} from its BP/RP spectrum"
        table[band.magnitude_column] = Column(
            magnitude[:, i], unit="mag", description=f"apparent magnitude in {what} ({band.system})"
        )
        table[str(band.error_column)] = Column(
            error[:, i], unit="mag", description=f"standard error in {what}, no floor added"
        )
    names = " ".join(band.label for band in survey.bands)
    table[str(survey.covariance)] = Column(
        covariance,
        unit="mag2",
        description=f"covariance of {names}: lower triangle row by row, with the diagonal; no floor added",
    )
    return table


def _counts(rows: list[BandMagnitudes], survey: Survey) -> dict[str, dict[str, int]]:
    negative = np.stack([row.negative for row in rows])
    faint = np.stack([row.faint for row in rows])
    measured = np.isfinite(np.stack([row.magnitude_mag for row in rows]))
    counts: dict[str, dict[str, Any]] = {}
    for i, band in enumerate(survey.bands):
        counts[band.label] = {
            "measured": int(measured[:, i].sum()),
            "negative": int(negative[:, i].sum()),
            "faint": int(faint[:, i].sum()),
            "no spectrum": int((~(measured | negative | faint)[:, i]).sum()),
        }
    return counts
