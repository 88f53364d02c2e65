"""E(B-V) of Green et al.'s stars against their own reddenings, by [Fe/H], temperature and distance.

    python -m benchmarks.real_stars.green DATA [--model archive-sky] [--stars 2000] [--law NAME] [--latitude 45]

DATA holds ``green2020_10k_stars.h5``: photometry (Gaia DR2, Pan-STARRS1 before its release, 2MASS), parallaxes, spectroscopic
Teff, log g, [Fe/H] and reddening r of 10,000 stars. Only the third that is out of every fit is used (``held_out`` of
``scripts/fit_sky_population.py``), with E below 0.4 mag.

The table has no positions, on which the model's prior of stars and of distance depends: all stars are put at l = 90 deg and the
latitude asked for, so what is measured holds for that. Most stars with much dust are really nearer to the plane.

What r means: BP - RP is regressed on the spectrum and on r, whose unit is free for each map and bends with r, so that
the noise that makes small r small is part of it (``green_ebv``). It leans on the BP - RP of the law as the model does; tested is
whether the posterior, which knows neither spectrum nor r, gives it back.

z = (E_posterior - E_green) / sqrt(sigma_posterior^2 + sigma_green^2).
Writes docs/results/green-MODEL[-LAW][-bLATITUDE].json and .md.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table
from benchmarks.results import ROOT, recording, say, table

import redflower
from redflower.api import status_counts
from redflower.bands import BANDS, BP, N_BANDS, RP, G
from redflower.catalogue import QualityLimits
from redflower.flow import Model, load_model
from redflower.physics import law_of_name
from redflower.provenance import META_KEY

sys.path.insert(0, str(ROOT / "scripts"))

from derive_extinction_correction import POWERS, coefficients, robust_fit  # noqa: E402
from fit_colour_relations import read_green, robust_std  # noqa: E402
from fit_sky_population import held_out, to_archive_scale  # noqa: E402

L_DEG, ZERO_POINT_MAS, SEED = 90.0, -0.029, 23
#: Nodes of r at which E(r) may bend. [mag]
R_NODES = (0.0, 0.08, 0.2, 0.5)
EBV_MAX_MAG = 0.4
FEH_EDGES_DEX = (-2.5, -1.5, -1.0, -0.6, -0.3, -0.1, 0.1, 0.5)
TEFF_EDGES_K = (3900, 4500, 5000, 5500, 6000, 6500, 7500)
DISTANCE_EDGES_PC = (0, 300, 600, 1000, 2000, 3500, 20000)
EBV_EDGES_MAG = (-0.01, 0.03, 0.06, 0.12, 0.2, 0.4)


def green_ebv(data: np.ndarray, magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Return E of r for every star, its error, and the two relations."""
    teff, logg, feh = data["atm_param"].astype(float).T
    r, r_error = data["r"].astype(float), data["r_err"].astype(float)
    flat, known = data["r_source"] == b"sfd", data["r_source"] != b"default"
    bp_rp = magnitude[:, BP] - magnitude[:, RP]
    fitted = known & (teff > 4200) & (teff < 7500) & (r < 0.6) & np.isfinite(bp_rp) & (feh > -2.5)
    inverse, gravity = 5040 / teff - 0.9, logg - 4
    spectrum = np.stack([inverse**i * gravity**j * feh**k for i, j, k in POWERS], axis=1)
    # Broken lines through nought for the map of all the dust, with a free start for the other.
    arms = np.stack([np.clip(r, a, b) - a for a, b in zip(R_NODES[:-1], R_NODES[1:], strict=True)], axis=1)
    dust = np.hstack([arms * flat[:, None], arms * ~flat[:, None], ~flat[:, None] * 1.0])
    intrinsic, ebv = bp_rp - 1.1 * r, 0.9 * r
    for _ in range(3):
        law = coefficients(ebv[fitted], intrinsic[fitted])
        design = np.hstack([spectrum[fitted], dust[fitted] * (law[:, BP] - law[:, RP])[:, None]])
        solution, _, _ = robust_fit(design, bp_rp[fitted])
        intrinsic, ebv = spectrum @ solution[: len(POWERS)], dust @ solution[len(POWERS) :]
    unit = solution[len(POWERS) :]
    # The scatter of E at a given r: its own error in the unit of E, which holds a floor of 0.02.
    slope = np.where(flat, unit[1], unit[4])
    relation = {
        "two-dimensional map": f"slopes of {_listed(unit[:3])}",
        "three-dimensional map": f"{unit[6]:.3f} mag at nought, slopes of {_listed(unit[3:6])}",
    }
    return np.where(known, ebv, np.nan), np.abs(slope) * r_error, relation


def _listed(slopes: np.ndarray) -> str:
    """Return slopes with the ranges of r they hold in."""
    ends = zip(R_NODES[:-1], R_NODES[1:], slopes, strict=True)
    return ", ".join(f"{slope:.2f} from r = {low:g} to {high:g}" for low, high, slope in ends)


def raw_table(data: np.ndarray, rows: np.ndarray, latitude_deg: float) -> Table:
    """Return chosen stars as the archive would give them, at one position."""
    magnitude = data["mag"][rows, :N_BANDS].astype(float)
    error = np.sqrt(np.maximum(data["mag_err"][rows, :N_BANDS].astype(float) ** 2 - 0.02**2, 1e-8))
    table = Table(
        {"source_id": rows + 1, "l": np.full(len(rows), L_DEG), "b": np.full(len(rows), latitude_deg)}
    )
    table["l"].unit = table["b"].unit = "deg"
    for name in ("parallax", "parallax_error"):
        table[name] = data[name.replace("_error", "_err")][rows].astype(float)
        table[name].unit = "mas"
    table["astrometric_params_solved"] = np.full(len(rows), 31)
    for i, band in enumerate(BANDS):
        seen = np.isfinite(magnitude[:, i]) & np.isfinite(error[:, i])
        table[band.magnitude_column] = np.where(seen, magnitude[:, i], np.nan)
        table[band.magnitude_column].unit = "mag"
        if band.error_column is None:
            flux = np.where(seen, 10.0 ** (-0.4 * (magnitude[:, i] - 25.0)), np.nan)
            table[band.flux_column], table[band.flux_error_column] = (
                flux,
                flux * error[:, i] * np.log(10) / 2.5,
            )
        else:
            table[band.error_column] = np.where(seen, error[:, i], np.nan)
            table[band.error_column].unit = "mag"
    return table


def chosen(data: np.ndarray, ebv: np.ndarray, n_stars: int) -> np.ndarray:
    """Return rows out of every fit, spread over [Fe/H]: all of the rare bins, as many as needed of the others."""
    teff, _, feh = data["atm_param"].astype(float).T
    good = held_out(data) & (ebv < EBV_MAX_MAG) & (data["mag"][:, G] > 13.5)
    good &= (teff > TEFF_EDGES_K[0]) & (teff < TEFF_EDGES_K[-1]) & np.isfinite(data["parallax"])
    good &= np.isfinite(data["mag"][:, :3]).all(axis=1)
    rng, rows = np.random.default_rng(SEED), []
    bins = sorted(
        (
            np.flatnonzero(good & (feh > a) & (feh <= b))
            for a, b in zip(FEH_EDGES_DEX[:-1], FEH_EDGES_DEX[1:], strict=True)
        ),
        key=len,
    )
    for i, here in enumerate(bins):
        share = (n_stars - sum(map(len, rows))) // (len(bins) - i)
        rows.append(rng.permutation(here)[:share])
    return np.sort(np.concatenate(rows))


def write_bins(
    heading: str, values: np.ndarray, edges: tuple[float, ...], difference: np.ndarray, z: np.ndarray
) -> None:
    """Record medians of E_posterior - E_green and of z, and the scatter of z, in bins."""
    lines = table(
        {
            heading: "",
            "stars": ",",
            "median difference [mag]": "+.3f",
            "its error": ".3f",
            "z, median": "+.2f",
            "z, scatter": ".2f",
        }
    )
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        here = (values > low) & (values <= high)
        if here.sum() < 8:
            continue
        error = 1.253 * robust_std(difference[here]) / np.sqrt(here.sum())
        lines.row(
            f"{low:,g} to {high:,g}",
            int(here.sum()),
            float(np.median(difference[here])),
            float(error),
            float(np.median(z[here])),
            robust_std(z[here]),
        )


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="archive-sky")
    parser.add_argument("--stars", type=int, default=2000)
    parser.add_argument("--law", help="another extinction law than the model's: zhang23-corrected or zhang23")
    parser.add_argument("--latitude", type=float, default=45.0, help="where the stars are put, degrees")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    name = f"green-{model.name}"
    if arguments.law:
        model, name = replace(model, law=law_of_name(arguments.law)), f"{name}-{arguments.law}"
    if arguments.latitude != parser.get_default("latitude"):
        name = f"{name}-b{arguments.latitude:g}"
    with recording(name, seed=SEED):
        run(model, arguments.data, arguments.stars, arguments.latitude)


def run(model: Model, folder: Path, n_stars: int, latitude_deg: float) -> None:
    """Infer the stars, and record what comes out."""
    data, magnitude, _ = read_green(folder / "green2020_10k_stars.h5")
    ebv, ebv_error, relation = green_ebv(data, to_archive_scale(magnitude))
    prepared = redflower.prepare(
        raw_table(data, chosen(data, ebv, n_stars), latitude_deg),
        purpose="inference",
        photometry="gaia=dr2,ps1=pre-release",
        zero_point=ZERO_POINT_MAS,
        limits=QualityLimits(g_faint_mag=20.5),
    )
    post = redflower.infer(prepared.table, model)
    usable = redflower.usable_rows(post)
    part = post[usable]
    rows = np.asarray(part["source_id"], dtype=int) - 1
    mean, std, distance = (np.asarray(part[n], dtype=float) for n in ("ebv_mean", "ebv_std", "distance_mean"))
    difference = mean - ebv[rows]
    z = difference / np.hypot(std, ebv_error[rows])
    teff, _, feh = data["atm_param"].astype(float)[rows].T
    fit = np.asarray(post["p_fit"], dtype=float)
    engines = np.asarray(post["engine"]).astype(str)
    say(
        "Model `{model}` with the law `{law}`, stars put at b = {latitude:g} deg: {usable:,} usable of {stars:,}. "
        "E(B-V) less that of r: median **{bias:+.3f} mag**, scatter {scatter:.3f}, mean sigma {sigma:.3f}; z has median "
        "{z_median:+.2f} and scatter {z_scatter:.2f}, and is beyond 3 for {beyond:.1%}.",
        model=model.model_id, law=model.law.name, latitude=latitude_deg, usable=int(usable.sum()), stars=len(post),
        bias=float(np.median(difference)), scatter=robust_std(difference), sigma=float(std.mean()),
        z_median=float(np.median(z)), z_scatter=robust_std(z), beyond=float(np.mean(np.abs(z) > 3)),
    )  # fmt: skip
    say(
        "Chains took {nuts:.1%} of the stars and importance weights {importance:.1%}; p_fit is below 0.01 for {poor:.1%}. "
        "Status: {status}.",
        nuts=float(np.mean(engines == "nuts")),
        importance=float(np.mean(engines == "importance")),
        poor=float(np.mean(fit[np.isfinite(fit)] < 0.01)),
        status=", ".join(f"{word} {count / len(post):.1%}" for word, count in status_counts(post).items()),
    )
    write_bins("[Fe/H]", feh, FEH_EDGES_DEX, difference, z)
    write_bins("Teff [K]", teff, TEFF_EDGES_K, difference, z)
    write_bins("distance [pc]", distance, DISTANCE_EDGES_PC, difference, z)
    write_bins("E(B-V) of r", ebv[rows], EBV_EDGES_MAG, difference, z)
    say("E(B-V) of r: " + "; ".join(f"{of_map}, {words}" for of_map, words in relation.items()) + ".")
    say("Verdict of `infer`:")
    for line in post.meta[META_KEY]["verdict"]["lines"]:
        say(f" {'good' if line['good'] else '**bad**'}: {line['text']}")


if __name__ == "__main__":
    main()
