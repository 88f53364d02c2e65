"""What each set of bands buys: sigma and bias of E(B-V) by type of star, on simulated stars and on real ones.

    python -m benchmarks.real_stars.band_sets DATA [--model archive-sky-wise] [--stars 1500]

One model of 13 bands infers the same stars several times, with the bands of some surveys left out: the density of fewer bands is
the same flow's (E8), so that nothing but the bands differs. Simulated stars are of the population ``sky``, behind one cloud near
the Sun. Real ones are those of Green et al. (2021) that are out of every fit and have all 13 bands, as
``benchmarks.real_stars.green`` has them, with what that module's text says of their places and reddenings; W1 and W2 are those of
unWISE.

Writes docs/results/band-sets.json and .md.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table
from benchmarks.real_stars.green import ZERO_POINT_MAS, green_ebv, raw_table
from benchmarks.results import recording, say, table
from fit_colour_relations import read_green, robust_std
from fit_further_colours import AB_MINUS_VEGA_MAG
from fit_sky_population import held_out, to_archive_scale

import redflower
from redflower.bands import N_BANDS, G
from redflower.catalogue import QualityLimits
from redflower.flow import Model, load_model
from redflower.surveys import shipped_surveys

SEED = 41
CLOUD = (120.0, 0.15)
#: Sets of bands: what is left out of each.
WISE, TMASS, PS1 = ("W1", "W2"), ("J", "H", "Ks"), ("g", "r", "i", "z", "y")
SETS = {
    "Gaia": (*PS1, *TMASS, *WISE),
    "Gaia + PS1": (*TMASS, *WISE),
    "Gaia + PS1 + 2MASS": WISE,
    "Gaia + PS1 + WISE": TMASS,
    "Gaia + PS1 + 2MASS + WISE": (),
}
EBV_MAX_MAG = 0.4


def simulated(n_stars: int) -> tuple[Table, np.ndarray, dict[str, np.ndarray]]:
    """Return prepared stars behind a cloud, their E(B-V), and which are of each type."""
    raw = redflower.simulate(
        n_stars, seed=SEED, preset="cone", population="sky", l_deg=90.0, b_deg=45.0, radius_deg=4.0, clouds=[CLOUD],
        include_truth=True, surveys=("allwise",), g_faint_mag=19.0,
    )  # fmt: skip
    prepared = redflower.prepare(raw, purpose="inference", limits=QualityLimits(g_faint_mag=19.0)).table
    x = {name: np.asarray(prepared[f"true_x_{name}"], float) for name in ("G", "BP", "RP")}
    return prepared, np.asarray(prepared["true_ebv"], float), _types(x["G"], x["BP"] - x["RP"], prepared)


def _types(m_g_mag: np.ndarray, bp_rp_mag: np.ndarray, prepared: Table) -> dict[str, np.ndarray]:
    """Return which stars are of each type, all but the last among those with every band."""
    last = ("ps1_y", "tmass_ks", "wise_w1", "wise_w2")
    seen = np.isfinite([np.asarray(prepared[name], float) for name in last])
    every = seen.all(axis=0)
    giant = (m_g_mag < 3.5) & (bp_rp_mag > 0.9)
    g_mag = np.asarray(prepared["gaia_g"], float)
    dwarf = every & ~giant & (m_g_mag < 9.5)
    return {
        "all with every band": every,
        "dwarfs, BP - RP < 0.8": dwarf & (bp_rp_mag < 0.8),
        "dwarfs, 0.8 to 1.2": dwarf & (bp_rp_mag >= 0.8) & (bp_rp_mag < 1.2),
        "dwarfs, above 1.2": dwarf & (bp_rp_mag >= 1.2),
        "giants": every & giant,
        "G < 16": every & (g_mag < 16.0),
        "G of 16 to 19": every & (g_mag >= 16.0),
        "W1 and no 2MASS": seen[0] & seen[2] & ~seen[1],
    }


def real(folder: Path) -> tuple[Table, np.ndarray, dict[str, np.ndarray]]:
    """Return Green et al.'s stars that are out of every fit and have all bands, the E(B-V) of their r, and types."""
    data, magnitude, _ = read_green(folder / "green2020_10k_stars.h5")
    ebv, _, _ = green_ebv(data, to_archive_scale(magnitude))
    good = held_out(data) & (ebv < EBV_MAX_MAG) & (data["mag"][:, G] > 13.5) & np.isfinite(data["parallax"])
    good &= np.isfinite(data["mag"]).all(axis=1) & np.isfinite(data["mag_err"]).all(axis=1)
    rows = np.flatnonzero(good)
    raw = raw_table(data, rows, 45.0)
    of_wise = np.sqrt(np.maximum(data["mag_err"][rows, N_BANDS:].astype(float) ** 2 - 0.02**2, 1e-8))
    for i, band in enumerate(shipped_surveys()["allwise"].bands):
        raw[band.magnitude_column] = data["mag"][rows, N_BANDS + i].astype(float) - AB_MINUS_VEGA_MAG[i]
        # As AllWISE's, errors must not fall below what its photometry repeats to.
        raw[band.error_column] = np.hypot(of_wise[:, i], 0.02)
        raw[band.magnitude_column].unit = raw[band.error_column].unit = "mag"
    prepared = redflower.prepare(
        raw, purpose="inference", photometry="gaia=dr2,ps1=pre-release,wise=unwise", zero_point=ZERO_POINT_MAS,
        limits=QualityLimits(g_faint_mag=20.5),
    ).table  # fmt: skip
    rows = np.asarray(prepared["source_id"], int) - 1
    teff, logg, feh = data["atm_param"].astype(float)[rows].T
    dwarf = logg > 3.8
    types = {
        "all": np.ones(len(rows), bool),
        "dwarfs below 5000 K": dwarf & (teff < 5000),
        "dwarfs of 5000 to 6000 K": dwarf & (teff >= 5000) & (teff < 6000),
        "dwarfs above 6000 K": dwarf & (teff >= 6000),
        "giants": ~dwarf,
        "[Fe/H] < -0.6": feh < -0.6,
    }
    return prepared, ebv[rows], types


def compare(model: Model, prepared: Table, ebv: np.ndarray, types: dict[str, np.ndarray]) -> dict[str, float]:
    """Infer the stars with every set of bands, and record sigma and bias by type; return what all 13 gain over 11."""
    found = {}
    for name, left_out in SETS.items():
        post = redflower.infer(prepared, model, without=left_out)
        found[name] = post
    usable = np.all([redflower.usable_rows(post) for post in found.values()], axis=0)
    lines = table(
        {"stars of": "", "number": ","}
        | {f"sigma, {name} [mag]": ".4f" for name in SETS}
        | {
            "bias without WISE [mag]": "+.4f",
            "bias with [mag]": "+.4f",
            "z scatter without": ".2f",
            "z scatter with": ".2f",
        }
    )
    gain: dict[str, float] = {}
    before, after = (found[name] for name in ("Gaia + PS1 + 2MASS", "Gaia + PS1 + 2MASS + WISE"))
    for kind, chosen in types.items():
        here = chosen & usable & np.isfinite(ebv)
        if here.sum() < 10:
            continue
        sigma = {name: float(np.mean(np.asarray(post["ebv_std"])[here])) for name, post in found.items()}
        bias, scatter = [], []
        for post in (before, after):
            difference = np.asarray(post["ebv_mean"])[here] - ebv[here]
            bias.append(float(np.median(difference)))
            scatter.append(robust_std(difference / np.asarray(post["ebv_std"])[here]))
        lines.row(kind, int(here.sum()), *sigma.values(), *bias, *scatter)
        if not gain:
            gain = {
                "share": 1.0 - sigma["Gaia + PS1 + 2MASS + WISE"] / sigma["Gaia + PS1 + 2MASS"],
                "without": bias[0], "with_wise": bias[1],
                "bias_error": 1.25 * robust_std(difference) / float(np.sqrt(here.sum())),
            }  # fmt: skip
    return gain


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="archive-sky-wise")
    parser.add_argument("--stars", type=int, default=1500)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    with recording("band-sets", seed=SEED):
        say(
            "Model `{model}`; the same stars with the bands of some surveys left out. Sigma is the mean of `ebv_std`, bias the "
            "median of `ebv_mean` less the truth, z their difference over sigma.",
            model=model.model_id,
        )
        say("Simulated stars behind a cloud of 0.15 mag, 13.5 < G < 19:")
        report("simulated", compare(model, *simulated(arguments.stars)))
        say(
            "Stars of Green et al. (2021) that are out of every fit and have all 13 bands, put at b = 45 deg; the truth is the "
            "E(B-V) of their reddening, whose own error is in the scatter of z:"
        )
        report("real", compare(model, *real(arguments.data)))


def report(kind: str, gain: dict[str, float]) -> None:
    """Record what W1 and W2 gain."""
    sentence = (
        "W1 and W2 make sigma **{KIND_share:.1%}** smaller; the bias goes from {KIND_without:+.4f} to {KIND_with_wise:+.4f} mag, "
        "each good to {KIND_bias_error:.4f}."
    )
    say(sentence.replace("KIND", kind), **{f"{kind}_{key}": value for key, value in gain.items()})


if __name__ == "__main__":
    main()
