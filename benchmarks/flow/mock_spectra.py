"""What BP/RP spectra buy on the simulated sky, what bounds it, and what a wrong covariance costs.

    python -m benchmarks.flow.mock_spectra [--folder FOLDER]

Simulates a dust-free sky with spectra, prepares it and grows ``archive-sky`` by ``configs/spectra.toml``: each a command of its
own. Stars of a field behind one cloud are then inferred with the spectra in place of BP and RP, with the 11 standard bands, and
with spectra whose covariance is wrong: without what is off its diagonal, or with all errors twice or half what they are.
What bounds sigma is said by linear theory: the colours of the population, the scatter about them, the floors and the noise, one
at a time taken away. Writes docs/results/mock-spectra.json and .md. With FOLDER what is there is not made again.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from astropy.table import Table
from benchmarks.commands import commands_of
from benchmarks.results import ROOT, recording, say, table

import redflower
from redflower.bands import band_set
from redflower.catalogue import QualityLimits
from redflower.physics import law_of_name
from redflower.simulate.colours import sky_colour_relations
from redflower.simulate.further_survey import spectra_correlation
from redflower.surveys import survey_named
from redflower.validate.scores import score

SEED = 53
FAINT_MAG = 17.0
BANDS = band_set(["gaia", "ps1", "2mass", "xp"])
#: Distance and E(B-V) of the cloud, near enough to lie in front of nearly all stars. [pc], [mag]
CLOUD = (120.0, 0.15)
GOAL_SIGMA_MAG, GOAL_RESIDUAL_MAG = 0.020, 0.003
#: Spread of [Fe/H] of the population at one place, for the linear theory. [dex]
FEH_STD_DEX = 0.3


def trained(folder: Path, n_stars: int) -> None:
    """Run the commands whose files are not there."""
    faint = ("--g-faint", f"{FAINT_MAG:g}")
    commands = {
        "sky.parquet": ("simulate", "sky.parquet", "--preset", "high-latitude", "--population", "sky", "--stars", str(n_stars),
                        "--seed", str(SEED), *faint, "--survey", "xp"),
        "stars.parquet": ("prepare", "sky.parquet", "stars.parquet", "--for", "training", "--survey", "xp", *faint),
        "model.safetensors": ("train", "stars.parquet", "model.safetensors", "--config", str(ROOT / "configs" / "spectra.toml"),
                              "--start-from", "archive-sky", "--bands", "gaia+ps1+2mass+xp", "--distance-prior", "sky"),
    }  # fmt: skip
    minutes = commands_of(folder, commands)
    say(
        f"{n_stars:,} stars, {minutes['train']:.0f} minutes of a processor for the training by `configs/spectra.toml`."
    )


def field(n_stars: int) -> Table:
    """Return raw stars with spectra, behind a cloud."""
    return redflower.simulate(
        n_stars, seed=SEED + 1, preset="cone", population="sky", l_deg=90.0, b_deg=45.0, radius_deg=4.0, clouds=[CLOUD],
        include_truth=True, surveys=("xp",), g_faint_mag=FAINT_MAG,
    )  # fmt: skip


def with_covariance(raw: Table, *, factor: float = 1.0, diagonal: bool = False) -> Table:
    """Return the stars with a wrong covariance of their spectra: errors times a factor, or the diagonal alone."""
    out = raw.copy()
    rows, columns = np.tril_indices(10)
    matrix = np.asarray(raw["xp_covariance"]) * factor**2
    if diagonal:
        matrix[:, rows != columns] = 0.0
    out["xp_covariance"] = matrix * raw["xp_covariance"].unit
    for band in survey_named("xp").bands:
        out[str(band.error_column)] = raw[str(band.error_column)] * factor
    return out


def compared(model: str, raw: Table) -> None:
    """Infer the stars in every way, and record sigma, bias and coverage."""
    limits = QualityLimits(g_faint_mag=FAINT_MAG)

    def inferred(stars: Table, of: str, surveys: list[str]) -> Table:
        prepared = redflower.prepare(stars, purpose="inference", limits=limits, surveys=surveys).table
        assert (np.asarray(prepared["source_id"]) == np.asarray(raw["source_id"])).all()
        return redflower.infer(prepared, of)

    ways = {
        "11 bands, `archive-sky`": inferred(raw, "archive-sky", []),
        "spectra for BP and RP": inferred(raw, model, ["xp"]),
        "- errors taken as independent": inferred(with_covariance(raw, diagonal=True), model, ["xp"]),
        "- errors stated twice too large": inferred(with_covariance(raw, factor=2.0), model, ["xp"]),
        "- errors stated half as large": inferred(with_covariance(raw, factor=0.5), model, ["xp"]),
    }
    truth = np.asarray(raw["true_ebv"], float)
    g_mag = np.asarray(raw["phot_g_mean_mag"], float)
    seen = np.isfinite(np.asarray(raw["xp_f438w_mag"], float)) & np.isfinite(
        np.asarray(raw["i_mean_psf_mag"], float)
    )
    usable = np.all([redflower.usable_rows(post) for post in ways.values()], axis=0) & seen & (truth > 0)
    lines = table(
        {
            "stars of": "", "number": ",", "bands": "", "sigma [mag]": ".4f", "residual, median [mag]": "+.4f",
            "residual, mean [mag]": "+.4f", "residual, scatter [mag]": ".4f", "scatter of z": ".2f", "68 % holds": ".3f",
            "error of that": ".3f",
        }
    )  # fmt: skip
    for kind, chosen in {"G < 16": g_mag < 16.0, "G of 16 to 17": g_mag >= 16.0}.items():
        scored = {}
        for words, post in ways.items():
            columns = {key: np.asarray(post[key]) for key in post.colnames if key.startswith("ebv_")}
            found = scored[words] = score(columns, truth, usable & chosen)
            lines.row(
                kind, found.n_used, words, found.sigma_mean, found.residual_median, found.residual_mean, found.residual_rms,
                found.z_std, found.inside_68, np.sqrt(0.68 * 0.32 / found.n_used),
            )  # fmt: skip
        if kind == "G < 16":
            eleven, spectra = list(scored.values())[:2]
            reached = spectra.sigma_mean <= GOAL_SIGMA_MAG
            say(
                "At G < 16 spectra make sigma **{less:.0f} %** smaller than the 11 bands: {sigma:.4f} mag. "
                "The goal, {goal:.3f}, is "
                + ("reached" if reached else "not reached")
                + "; the residual's median is {residual:+.4f} mag, good to {good:.4f}, where the goal was {most:.3f}.",
                less=100 * (1 - spectra.sigma_mean / eleven.sigma_mean), sigma=spectra.sigma_mean, goal=GOAL_SIGMA_MAG,
                residual=spectra.residual_median, most=GOAL_RESIDUAL_MAG,
                good=1.25 * spectra.residual_rms / np.sqrt(spectra.n_used),
            )  # fmt: skip


def linear_sigma(
    raw: Table, row: int, names: set[str], *, noise: float, floors: float, scatter: float, feh_std_dex: float
) -> float:
    """Return sigma of E(B-V) of a star by linear theory, its brightness and BP - RP free. [mag]

    Parameters
    ----------
    names : of the bands.
    noise, floors, scatter : factors of the three parts of the covariance: 1, or 0 for none.
    feh_std_dex : how well [Fe/H] is known beforehand.
    """
    relations = sky_colour_relations(BANDS)
    bp_rp = np.array([float(raw["true_x_BP"][row].value - raw["true_x_RP"][row].value)])
    feh = np.array([float(raw["true_feh"][row])])
    giant = np.array([float(raw["true_x_G"][row].value < 3.5 and bp_rp[0] > 0.9)])

    def colours(x: np.ndarray, metals: np.ndarray) -> np.ndarray:
        return relations.colours(x, metals, giant)[0]

    changes = [
        np.ones(len(BANDS)),
        (colours(bp_rp + 0.02, feh) - colours(bp_rp - 0.02, feh)) / 0.04,
        (colours(bp_rp, feh + 0.1) - colours(bp_rp, feh - 0.1)) / 0.2,
        np.asarray(law_of_name(None).of_bands(BANDS).coefficients(CLOUD[1], bp_rp[0])),
    ]
    factor = scatter * relations.scatter_factor[np.searchsorted(relations.scatter_bp_rp_mag, bp_rp[0])]
    error = np.array([_error(raw, row, band) for band in BANDS])
    correlation = spectra_correlation(BANDS)
    covariance = factor @ factor.T + noise**2 * correlation * np.outer(error, error)
    covariance += np.diag([floors**2 * band.error_floor_mag**2 + 1e-8 for band in BANDS])
    chosen = [i for i, band in enumerate(BANDS) if band.name in names and np.isfinite(error[i])]
    design = np.stack(changes, axis=1)[chosen]
    information = design.T @ np.linalg.solve(covariance[np.ix_(chosen, chosen)], design)
    information[2, 2] += 1.0 / feh_std_dex**2
    return float(np.sqrt(np.linalg.inv(information)[3, 3]))


def _error(raw: Table, row: int, band) -> float:  # noqa: ANN001 - a band
    """Return the catalogue error of a star in a band. [mag]"""
    if band.error_column is not None:
        return float(raw[band.error_column][row].value)
    return 1.0857 * float((raw[band.flux_error_column][row] / raw[band.flux_column][row]).value)


def bounds(raw: Table, n_stars: int) -> None:
    """Record by linear theory what sigma would be without each of its parts."""
    g_mag = np.asarray(raw["phot_g_mean_mag"], float)
    rows = np.flatnonzero((g_mag < 16.0) & np.isfinite(np.asarray(raw["xp_f438w_mag"], float)))[:n_stars]
    standard = {band.name for band in BANDS if band.survey != "xp"}
    spectra = {band.name for band in BANDS} - {"gaia_bp", "gaia_rp"}
    full = {"noise": 1.0, "floors": 1.0, "scatter": 1.0, "feh_std_dex": FEH_STD_DEX}
    cases = {
        "11 bands": (standard, full),
        "spectra for BP and RP": (spectra, full),
        "- without the floors": (spectra, {**full, "floors": 0.0}),
        "- without noise": (spectra, {**full, "noise": 0.0}),
        "- without scatter of the colours": (spectra, {**full, "scatter": 0.0}),
        "- [Fe/H] known": (spectra, {**full, "feh_std_dex": 1e-3}),
    }
    lines = table(
        {"linear theory, G < 16": "", "stars": ",", "sigma, mean [mag]": ".4f", "median [mag]": ".4f"}
    )
    for words, (names, parts) in cases.items():
        sigma = [linear_sigma(raw, row, names, **parts) for row in rows]
        lines.row(words, len(rows), np.mean(sigma), np.median(sigma))


def main() -> None:
    """Make what is not there, and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--train", type=int, default=40_000)
    parser.add_argument("--stars", type=int, default=900)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = (arguments.folder or Path(own)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with recording("mock-spectra", seed=SEED):
            trained(folder, arguments.train)
            raw = field(arguments.stars)
            compared(str(folder / "model.safetensors"), raw)
            bounds(raw, 300)


if __name__ == "__main__":
    main()
