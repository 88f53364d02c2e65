"""What BP/RP spectra can know of E(B-V) on the simulated sky, what bounds it, and what a wrong covariance costs: linear theory.

    python -m benchmarks.flow.spectra_bounds

What a perfect model could reach on stars of a simulated field, to first order and without parallax. `mock-spectra` has a flow.
Writes docs/results/spectra-bounds.json and .md.
"""

import argparse
from math import erf, sqrt

import numpy as np
from astropy.table import Table
from benchmarks.linear_theory import FEH_STD_DEX, Star, cloudy_field
from benchmarks.results import recording, say, table

from redflower.bands import band_set
from redflower.simulate.further_survey import spectra_correlation

SEED = 53
FAINT_MAG = 17.0
BANDS = band_set(["gaia", "ps1", "2mass", "xp"])
GOAL_SIGMA_MAG, GOAL_RESIDUAL_MAG = 0.020, 0.003
XP = np.array([band.survey == "xp" for band in BANDS])
STANDARD_BANDS = frozenset(band.name for band in BANDS if band.survey != "xp")
SPECTRA_BANDS = frozenset(band.name for band in BANDS) - {"gaia_bp", "gaia_rp"}


def field(n_stars: int) -> Table:
    """Return raw stars with spectra, behind a cloud."""
    return cloudy_field(n_stars, "xp", faint_mag=FAINT_MAG, seed=SEED + 1)


def with_errors(covariance: np.ndarray, noise: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Return a covariance with another noise of the spectra: errors of `noise`, going together by `correlation`."""
    out = covariance.copy()
    out[np.ix_(XP, XP)] += (np.outer(noise, noise) * correlation)[np.ix_(XP, XP)]
    return out


def bounds(stars: list[Star]) -> None:
    """Record what sigma is, and what it would be without each of its parts."""
    cases: dict[str, tuple[frozenset[str], dict, float]] = {
        "11 bands": (STANDARD_BANDS, {}, FEH_STD_DEX),
        "spectra for BP and RP": (SPECTRA_BANDS, {}, FEH_STD_DEX),
        "- without the floors": (SPECTRA_BANDS, {"floors": 0.0}, FEH_STD_DEX),
        "- without noise of the spectra": (SPECTRA_BANDS, {"quiet": ("xp",)}, FEH_STD_DEX),
        "- without noise of 2MASS": (SPECTRA_BANDS, {"quiet": ("2mass",)}, FEH_STD_DEX),
        "- without scatter of the colours": (SPECTRA_BANDS, {"scatter": 0.0}, FEH_STD_DEX),
        "- [Fe/H] known": (SPECTRA_BANDS, {}, 1e-3),
    }
    lines = table({"G < 16": "", "stars": ",", "sigma, mean [mag]": ".4f", "median [mag]": ".4f"})
    means = {}
    for words, (names, parts, feh_std_dex) in cases.items():
        sigma = [star.sigma(names, star.covariance(**parts), feh_std_dex=feh_std_dex)[0] for star in stars]
        means[words] = float(np.mean(sigma))
        lines.row(words, len(sigma), means[words], np.median(sigma))
    eleven, spectra = means["11 bands"], means["spectra for BP and RP"]
    say(
        "With spectra in place of BP and RP sigma is {sigma:.4f} mag, **{less:.0f} %** less than the 11 bands' {eleven:.4f}. "
        "The goal of {goal:.3f} mag is " + ("within reach." if spectra <= GOAL_SIGMA_MAG else "beyond what these bands allow."),
        sigma=spectra, less=100 * (1 - spectra / eleven), eleven=eleven, goal=GOAL_SIGMA_MAG,
    )  # fmt: skip


def costs(stars: dict[str, list[Star]]) -> None:
    """Record what estimates with a wrong covariance claim, and how they really scatter."""
    right = spectra_correlation(BANDS)
    cases = {
        "the right covariance": (1.0, right),
        "errors taken as independent": (1.0, np.eye(len(BANDS))),
        "errors stated twice too large": (2.0, right),
        "errors stated half as large": (0.5, right),
        "errors stated a fifth as large": (0.2, right),
    }
    lines = table(
        {
            "stars of": "", "number": ",", "covariance": "", "sigma claimed [mag]": ".4f", "true scatter [mag]": ".4f",
            "true over claimed": ".3f", "68 % holds": ".3f",
        }
    )  # fmt: skip
    for kind, chosen in stars.items():
        for words, (factor, correlation) in cases.items():
            pairs = []
            for star in chosen:
                without = star.covariance(quiet=("xp",))
                noise = np.nan_to_num(star.error_mag)
                taken = with_errors(without, factor * noise, correlation)
                pairs.append(star.sigma(SPECTRA_BANDS, with_errors(without, noise, right), taken))
            claimed, true = np.mean(pairs, axis=0)
            inside = np.mean([erf(c / t / sqrt(2.0)) for c, t in pairs])
            lines.row(kind, len(pairs), words, claimed, true, np.mean([t / c for c, t in pairs]), inside)


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=600)
    arguments = parser.parse_args()
    with recording("spectra-bounds", seed=SEED):
        raw = field(arguments.stars)
        g_mag = np.asarray(raw["phot_g_mean_mag"], float)
        seen = np.isfinite(np.asarray(raw["xp_f438w_mag"], float))
        seen &= np.isfinite(np.asarray(raw["i_mean_psf_mag"], float))
        bright, faint = (
            [Star(raw, row, BANDS) for row in np.flatnonzero(seen & here)]
            for here in (g_mag < 16.0, g_mag >= 16.0)
        )
        bounds(bright)
        costs({"G < 16": bright, "G of 16 to 17": faint})


if __name__ == "__main__":
    main()
