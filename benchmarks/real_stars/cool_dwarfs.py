"""Are the colours of the simulated M dwarfs those of real ones, to the coolest that Gaia sees at G = 19?

    python -m benchmarks.real_stars.cool_dwarfs DATA

Colours at fixed r - i, of real stars that had no part in the fit of the population ``sky``, less those of its relation: the half
of Stripe 82's late dwarfs that is kept out, the third of the stars of Green et al. that is, and the near stars of the field
towards Orion, which has 2MASS where the others have little or none. Along r - i, because noise in BP moves a faint red star along
BP - RP. Most of Orion's stars are members of the association, younger than the main sequence. Reddenings are taken off: Stripe
82's mean, Green et al.'s own, none of the near stars in front of Orion.
"""

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np
from benchmarks.real_stars.sky_population import error_of_median
from benchmarks.results import recording, say, table

from redflower.bands import BANDS
from redflower.photometric_scales import MOCK_SKY_SCALE, make_scale
from redflower.physics import law_of_name
from redflower.simulate.colours import sky_coefficients, sky_colour_relations

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from field_dwarfs import FIELD_EBV_MAG, read_field
from fit_colour_relations import deredden
from fit_sky_population import load_green, moved

LABELS = [band.label for band in BANDS]
R_I_EDGES_MAG = (0.7, 0.9, 1.1, 1.3, 1.5, 1.95)
COLOURS = (("g", "r"), ("i", "z"), ("z", "y"), ("y", "J"), ("J", "Ks"))
ERROR_MAX_MAG, LEAST_STARS = 0.06, 4
#: Near stars of Orion: nearer than the dust, and the parallax at least six of its errors.
ORION_PARALLAX_MIN_MAS, ORION_SIGNAL_MIN = 2.5, 6.0


def real_stars(data: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Dereddened magnitudes on the archive's scales, and their errors, of the stars of each sample."""
    drift = np.zeros((2, len(LABELS)))
    drift[:, 3:8] = sky_coefficients()["ps1_drift"]["mag_per_mag"]
    magnitude, error, out = read_field(data / "s82_gaiadr2_ps1.fits")
    magnitude = moved(magnitude, make_scale("gaia=dr2,ps1=archive"))
    law = law_of_name("zhang23-corrected")
    dust_free = deredden(magnitude, np.full(len(magnitude), FIELD_EBV_MAG), law)
    found = {"Stripe 82, kept out": (dust_free[out], error[out])}
    green, low, held_out, _ = load_green(data / "green2020_10k_stars.h5", drift)
    late = held_out & low & (green.logg > 3.8)
    found["Green et al., held out"] = (green.magnitude[late], green.error[late])
    with h5py.File(data / "orion_l204.7_b-19.2_ps1_2mass.h5") as file:
        rows = file["photometry/pixel 0-0"][:]
    magnitude, error = np.full((2, len(rows), len(LABELS)), np.nan)
    magnitude[:, 3:] = np.where((rows["mag"] > 5) & (rows["mag"] < 30), rows["mag"], np.nan)
    error[:, 3:] = rows["err"]
    parallax, noise = 1e3 * rows["parallax"], 1e3 * rows["parallax_error"]
    with np.errstate(invalid="ignore"):
        near = (parallax > ORION_PARALLAX_MIN_MAS) & (parallax > ORION_SIGNAL_MIN * noise) & (parallax < 1e3)
    found["Orion, near"] = (moved(magnitude, make_scale(MOCK_SKY_SCALE))[near], error[near])
    return found


def cool_loci(data: Path) -> list[tuple[str, str, str, int, float, float]]:
    """Return sample, colour, bin of r - i, number of stars, median of real less simulated colours, and its error. [mag]"""
    bp_rp = np.linspace(1.5, 3.8, 400)
    relation = sky_colour_relations().colours(bp_rp, np.full(400, -0.05), np.zeros(400))
    index = {label: LABELS.index(label) for label in LABELS}

    def colour(magnitude: np.ndarray, blue: str, red: str) -> np.ndarray:
        return magnitude[:, index[blue]] - magnitude[:, index[red]]

    rows = []
    for sample, (magnitude, error) in real_stars(data).items():
        r_i = colour(magnitude, "r", "i")
        for blue, red in COLOURS:
            expected = np.interp(r_i, colour(relation, "r", "i"), colour(relation, blue, red))
            residual = colour(magnitude, blue, red) - expected
            good = np.isfinite(residual)
            for label in {"r", "i", blue, red}:
                good &= error[:, index[label]] < ERROR_MAX_MAG
            for low, high in zip(R_I_EDGES_MAG[:-1], R_I_EDGES_MAG[1:], strict=True):
                values = residual[good & (r_i >= low) & (r_i < high)]
                if len(values) >= LEAST_STARS:
                    rows.append(
                        (
                            sample, f"{blue} - {red}", f"{low:g} to {high:g}", len(values), float(np.median(values)),
                            error_of_median(values),
                        )
                    )  # fmt: skip
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    with recording("cool-dwarfs"):
        say(
            "Real less simulated colours of M dwarfs at fixed r - i, medians with their errors. "
            "None of the stars had a part in the fit."
        )
        lines = table(
            {"stars": "", "colour": "", "r - i": "", "number": ",", "median [mag]": "+.3f", "error": ".3f"}
        )
        for row in cool_loci(parser.parse_args().data):
            lines.row(*row)


if __name__ == "__main__":
    main()
