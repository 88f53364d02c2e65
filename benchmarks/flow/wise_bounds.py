"""What W1 and W2 can add to what eleven bands know of E(B-V) on the simulated sky, and what bounds it: linear theory.

    python -m benchmarks.flow.wise_bounds

What a perfect model could gain on stars of a simulated field that have all 13 bands, to first order and without parallax.
`band-sets` has what the shipped model gains. Writes docs/results/wise-bounds.json and .md.
"""

import argparse

import numpy as np
from astropy.table import Table
from benchmarks.linear_theory import FEH_STD_DEX, Star, cloudy_field
from benchmarks.results import recording, say, table

from redflower.bands import band_set

SEED = 54
FAINT_MAG = 19.0
BANDS = band_set(["gaia", "ps1", "2mass", "allwise"])
GOAL_GAIN = 0.08
WISE = ("wise",)
WITHOUT = frozenset(band.name for band in BANDS if band.survey not in WISE)
WITH = frozenset(band.name for band in BANDS)


def sigmas(stars: list[Star], names: frozenset[str], parts: dict, feh_std_dex: float) -> np.ndarray:
    """Return the standard error of E(B-V) of every star from some bands. [mag]"""
    return np.array(
        [star.sigma(names, star.covariance(**parts), feh_std_dex=feh_std_dex)[0] for star in stars]
    )


def bounds(kinds: dict[str, list[Star]]) -> None:
    """Record what the two bands gain, and what they would without each of what bounds it."""
    cases: dict[str, tuple[dict, float]] = {
        "as they are": ({}, FEH_STD_DEX),
        "no noise of W1 and W2": ({"quiet": WISE}, FEH_STD_DEX),
        "no noise of 2MASS": ({"quiet": ("2mass",)}, FEH_STD_DEX),
        "no floors": ({"floors": 0.0}, FEH_STD_DEX),
        "no scatter of the colours": ({"scatter": 0.0}, FEH_STD_DEX),
        "[Fe/H] known": ({}, 1e-3),
    }
    lines = table(
        {"stars of": "", "number": ",", "what is changed": "", "sigma, 11 bands [mag]": ".4f", "13 bands [mag]": ".4f",
         "smaller by [%]": ".1f"}
    )  # fmt: skip
    gains = {}
    for kind, stars in kinds.items():
        for words, (parts, feh_std_dex) in cases.items():
            eleven, thirteen = (
                float(sigmas(stars, names, parts, feh_std_dex).mean()) for names in (WITHOUT, WITH)
            )
            gains[kind, words] = 1.0 - thirteen / eleven
            lines.row(kind, len(stars), words, eleven, thirteen, 100.0 * gains[kind, words])
    gain = next(iter(gains.values()))
    say(
        "A perfect model of 13 bands has a sigma of E(B-V) smaller by **{gain:.1f} %** than one of 11. The {goal:.0f} % that "
        "were hoped for are " + ("within reach." if gain >= GOAL_GAIN else "beyond what these bands allow."),
        gain=100.0 * gain, goal=100.0 * GOAL_GAIN,
    )  # fmt: skip


def with_all_bands(raw: Table) -> dict[str, list[Star]]:
    """Return the stars that have every band: all of them, and the bright ones."""
    stars = [Star(raw, row, BANDS) for row in range(len(raw))]
    whole = np.array([np.isfinite(star.error_mag).all() for star in stars])
    bright = np.asarray(raw["phot_g_mean_mag"], float) < 16.0
    return {
        kind: [stars[row] for row in np.flatnonzero(chosen)]
        for kind, chosen in (("all", whole), ("G < 16", whole & bright))
    }


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000)
    arguments = parser.parse_args()
    with recording("wise-bounds", seed=SEED):
        raw = cloudy_field(arguments.stars, "allwise", faint_mag=FAINT_MAG, seed=SEED + 1)
        bounds(with_all_bands(raw))


if __name__ == "__main__":
    main()
