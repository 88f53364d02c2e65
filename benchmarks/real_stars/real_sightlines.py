"""Real stars through prepare, infer and sightline with the shipped model: Orion, M67 and NGC 188.

Usage: python -m benchmarks.real_stars.real_sightlines PART DATA [--stars N] [--model MODEL]

PART is orion, m67, ngc188 or mock; DATA is the folder of the survey files. Writes what
docs/measured/real-sightlines.md shows. Orion and
the mock sky take about a quarter of an hour of a busy core each, nearly all of it NUTS; M67 and NGC 188 less. The mock
sky is a sightline like Orion's of the stars that trained the model, and reads no file: what it does not get right is not the
model's fault. `--model` takes another flow.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.table import Table
from benchmarks.real_stars.m67 import G_FAINT_MAG, MEMBERSHIP_MIN, ZERO_POINT_MAS, field
from benchmarks.results import recording, say

import redflower
from redflower.api.sightlines import sightline_rows
from redflower.api.statuses import status_counts
from redflower.bands import BANDS
from redflower.catalogue import ColumnMap, QualityLimits, prepared_error_name
from redflower.catalogue.reading.schema import magnitude_error_column
from redflower.posterior import Flag, InferenceSettings, joint_density
from redflower.products import SightlineResult
from redflower.products.words_clouds import clouds_sentence
from redflower.sightline import DustPrior, flat_distance_log_weight, make_grid, star_cells

#: Stars of Orion with a parallax better than this are drawn from: foreground stars must be told from background. [mas]
ORION_PARALLAX_ERROR_MAS = 0.3
ORION_EBV_MAX_MAG = 2.0
#: On the plateau of the M dwarfs' g - r, where its spread is of their metallicity. [mag]
M_DWARF_G_R_MAG = 1.23
N_OPTICAL = 8
#: Distance [pc] and E(B-V) [mag] of the cloud in the mock sky.
MOCK_CLOUD = (400.0, 0.3)
#: In the fit of one point to a cluster: scatter of its stars' reddening [mag], and shares that may not be of it.
CLUSTER_SCATTER_MAG = 0.01
CLUSTER_OUTLIERS = np.linspace(0.02, 0.8, 27)
#: NGC 188's file gives a prior of membership, half of them above 0.33 and none but one above 0.5.
NGC188_MEMBERSHIP_MIN = 0.3


def hide(stars: Table, names: set[str]) -> Table:
    """The same stars without some bands."""
    out = stars.copy()
    for band in BANDS:
        if band.name in names:
            out[band.name] = np.nan
            out[prepared_error_name(band)] = np.nan
    return out


def statuses(posteriors: Table) -> str:
    """Counts of the status words."""
    return ", ".join(f"{word} {count}" for word, count in status_counts(posteriors).items())


def describe(label: str, posteriors: Table) -> None:
    """Median, scatter and mean sigma of the usable stars."""
    good = redflower.usable_rows(posteriors)
    ebv, sigma = (np.asarray(posteriors[name])[good] for name in ("ebv_mean", "ebv_std"))
    scatter = 1.4826 * np.median(np.abs(ebv - np.median(ebv)))
    say(
        f"   {label}: {good.sum()} of {len(posteriors)} usable, median E(B-V) {np.median(ebv):+.3f} +- "
        f"{1.2533 * scatter / np.sqrt(good.sum()):.3f}, scatter {scatter:.3f}, mean sigma {sigma.mean():.3f} mag",
    )


def by_colour(posteriors: Table, stars: Table, edges_mag: tuple[float, ...]) -> None:
    """Median E(B-V) in bins of observed BP - RP."""
    good = redflower.usable_rows(posteriors)
    colour = np.asarray(stars["gaia_bp"]) - np.asarray(stars["gaia_rp"])
    for low, high in zip(edges_mag[:-1], edges_mag[1:], strict=True):
        here = good & (colour > low) & (colour <= high)
        if here.sum() > 4:
            ebv = np.asarray(posteriors["ebv_mean"])[here]
            error = 1.4826 * np.median(np.abs(ebv - np.median(ebv))) * 1.2533 / np.sqrt(len(ebv))
            say(f"   BP - RP {low:.1f} to {high:.1f}: {len(ebv)} stars, {np.median(ebv):+.3f} +- {error:.3f}")


def one_point(label: str, posteriors: Table) -> None:
    """One reddening and one distance for all stars of a cluster, from their joint densities, priors divided out."""
    density = joint_density(posteriors)
    rows = sightline_rows(posteriors, density)
    part, density = posteriors[rows], density.rows(rows)
    prior = (np.asarray(part[f"prior_{name}"], dtype=float) for name in ("log_length", "alpha", "beta"))
    low, high = part.meta["redflower"]["ebv_prior_mag"]
    grid = make_grid((low, high), (5.0, 15.0))
    cells = star_cells(density, grid, flat_distance_log_weight(density, *prior))
    middle = 0.5 * (grid.ebv_edges_mag[1:] + grid.ebv_edges_mag[:-1])
    modulus = 0.5 * (grid.modulus_edges_mag[1:] + grid.modulus_edges_mag[:-1])
    trial = np.linspace(low, 0.3, 176)
    kernel = np.exp(-0.5 * ((trial[:, None] - middle) / CLUSTER_SCATTER_MAG) ** 2) * np.diff(
        grid.ebv_edges_mag
    )
    kernel /= kernel.sum(axis=1, keepdims=True)
    # A star's probability per cell of distance, relative to one spread over all distances.
    like = np.einsum("sme,te->smt", cells, kernel) * len(modulus)
    log_like = np.stack([np.log((1.0 - share) * like + share).sum(axis=0) for share in CLUSTER_OUTLIERS])
    weight = np.exp(log_like - log_like.max())
    weight /= weight.sum()
    of_share, of_modulus, of_ebv = (weight.sum(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    ebv, distance = of_ebv @ trial, of_modulus @ (10.0 ** (1.0 + modulus / 5.0))
    ebv_std = np.sqrt(of_ebv @ (trial - ebv) ** 2)
    distance_std = np.sqrt(of_modulus @ (10.0 ** (1.0 + modulus / 5.0) - distance) ** 2)
    # The density within a cell of distance modulus is not resolved: a uniform one.
    width_mag = (modulus[1] - modulus[0]) / np.sqrt(12.0)
    distance_std = np.hypot(distance_std, distance * width_mag * np.log(10.0) / 5.0)
    say(
        f"   {label}, one point for {rows.sum()} stars: E(B-V) {ebv:.3f} +- {ebv_std:.3f} mag, distance {distance:.0f} +- "
        f"{distance_std:.0f} pc, outliers {of_share @ CLUSTER_OUTLIERS:.2f} (statistical, and cells of 0.1 mag in "
        "distance modulus)",
    )


def cloud_lines(result: SightlineResult, at_pc: tuple[float, ...]) -> None:
    """What `redflower sightline` found."""
    summary = result.summary
    odds = ", ".join(f"{number}: {p:.3f}" for number, p in summary["probability"].items())
    say(f"   {summary['n_stars']} of {summary['n_stars_given']} stars fitted; clouds: probability {odds}")
    say(
        f"   foreground and zero point {summary['foreground_mag']:+.3f} +- {summary['foreground_mag_std']:.3f} mag, "
        f"outliers {summary['outlier_share']:.2f} +- {summary['outlier_share_std']:.2f}"
    )
    for number, rows in summary["clouds"].items():
        for row in rows:
            say(
                f"   of {number}: {row['distance_pc']:.0f} pc ({row['distance_pc_q16']:.0f} to "
                f"{row['distance_pc_q84']:.0f}; 90 %: {row['distance_pc_q05']:.0f} to {row['distance_pc_q95']:.0f}), "
                f"E(B-V) {row['ebv_mag']:.3f} ({row['ebv_mag_q16']:.3f} to {row['ebv_mag_q84']:.3f}), patchiness "
                f"{row['patchiness']:.2f}"
            )
    profile = result.fit.profile(np.array(at_pc))
    for distance, mean, std in zip(at_pc, profile["mean"], profile["std"], strict=True):
        say(f"   behind the foreground, to {distance:.0f} pc: {mean:.3f} +- {std:.3f} mag")


def orion(data: Path, n_stars: int, model: str) -> None:
    """Orion, l, b = 204.7, -19.2 deg: Pan-STARRS1, 2MASS and DR2 parallaxes in arcsec, no Gaia photometry."""
    import h5py

    with h5py.File(data / "orion_l204.7_b-19.2_ps1_2mass.h5") as file:
        rows = file["photometry/pixel 0-0"][:]
    raw = Table({"l": rows["l"], "b": rows["b"]})
    for name in ("parallax", "parallax_error"):
        raw[name] = rows[name]
        raw[name].unit = "arcsec"
    for i, band in enumerate(BANDS[3:]):
        raw[band.magnitude_column] = rows["mag"][:, i]
        raw[magnitude_error_column(band)] = rows["err"][:, i]
    prepared = redflower.prepare(
        raw,
        purpose="inference",
        photometry="ps1=pre-release",
        zero_point=ZERO_POINT_MAS,
        limits=QualityLimits(latitude_min_deg=None),
    )
    stars = prepared.table
    print(prepared.report.text())
    n_bands = sum(np.isfinite(np.asarray(stars[band.name])).astype(int) for band in BANDS)
    with np.errstate(invalid="ignore"):
        fit = (np.asarray(stars["parallax_error"]) < ORION_PARALLAX_ERROR_MAS) & (n_bands >= 5)
    chosen = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(fit))[:n_stars])
    say(
        f"Orion: {len(stars)} stars, {fit.sum()} with five bands and a parallax better than "
        f"{ORION_PARALLAX_ERROR_MAS} mas, {len(chosen)} of them at random",
    )
    settings = InferenceSettings(ebv_max_mag=ORION_EBV_MAX_MAG, engine="nuts", density=True)
    stars, n_bands = stars[chosen], n_bands[chosen]
    posteriors = redflower.infer(stars, model, settings=settings)
    flags = np.asarray(posteriors["flags"])
    say(f"   {statuses(posteriors)}")
    for flag in (Flag.BEYOND_LIMITS, Flag.COEFFICIENT_OUT_OF_RANGE, Flag.LOW_FLOW_PROBABILITY):
        say(f"   flag {flag.name}: {np.mean(flags & int(flag) != 0):.2f} of the stars")
    good = sightline_rows(posteriors, joint_density(posteriors))
    distance, ebv = (np.asarray(posteriors[name]) for name in ("distance_mean", "ebv_mean"))
    g_r = np.asarray(stars["ps1_g"] - stars["ps1_r"])
    at_300 = (distance >= 300) & (distance < 400)
    groups = [
        (f"posterior mean distance {near} to {far} pc", (distance >= near) & (distance < far))
        for near, far in (
            (0, 300),
            (300, 400),
            (400, 500),
            (500, 700),
            (700, 1000),
            (1000, 2000),
            (2000, 9000),
        )
    ]
    groups.append(
        (f"300 to 400 pc, g - r bluer than {M_DWARF_G_R_MAG} mag", at_300 & (g_r < M_DWARF_G_R_MAG))
    )
    groups.append(
        (f"300 to 400 pc, g - r redder than {M_DWARF_G_R_MAG} mag", at_300 & (g_r >= M_DWARF_G_R_MAG))
    )
    for label, group in groups:
        here = good & group
        if here.any():
            low, mid, high = np.quantile(ebv[here], [0.16, 0.5, 0.84])
            sigma = np.median(np.asarray(posteriors["ebv_std"])[here])
            say(
                f"   {label}: {here.sum()} stars, E(B-V) {mid:.3f} ({low:.3f} to {high:.3f}), median sigma {sigma:.3f} mag"
            )
    tight = DustPrior(ebv_scale_mag=0.2, foreground_std_mag=0.05)
    # What a flow of another population makes uncertain.
    free = replace(tight, drift_std=0.01, scatter_mag=(0.002, 0.1))
    error_mas = np.asarray(stars["parallax_error"])
    every = np.ones(len(posteriors), dtype=bool)
    for label, prior, flat, rows in (
        ("as by default", tight, False, every),
        ("distance priors divided out", tight, True, every),
        ("zero point may drift, scatter to 0.1 mag", free, False, every),
        ("the same, parallaxes better than 0.15 mas", free, False, error_mas < 0.15),
        ("the same, seven bands or more", free, False, n_bands >= 7),
    ):
        say(f"**{label[:1].upper()}{label[1:]}**, {rows.sum()} stars:")
        result = redflower.sightline(posteriors[rows], max_clouds=3, prior=prior, flat_distances=flat)
        say(f"   {clouds_sentence(result.summary)}")
        cloud_lines(result, (250.0, 350.0, 450.0, 600.0, 1000.0, 2000.0))


def m67(data: Path, n_stars: int, model: str) -> None:
    """M67: members, whose distance and reddening are common; and what hiding Gaia's photometry does."""
    stars = field(data / "m67_gaiadr2_ps1_2mass.fits").table
    complete = np.isfinite(np.stack([stars[band.name] for band in BANDS[:N_OPTICAL]])).all(axis=0)
    members = stars[complete & (np.asarray(stars["membership_probability"]) > MEMBERSHIP_MIN)]
    say(
        f"M67: {len(members)} members; literature E(B-V) 0.04, about 850 pc; map {np.median(members['ebv_sfd']):.3f}"
    )
    settings = InferenceSettings(density=True)
    whole = redflower.infer(members, model, settings=settings)
    describe("all bands", whole)
    by_colour(whole, members, (0.5, 0.8, 1.0, 1.3, 1.8, 2.6))
    one_point("all bands", whole)
    no_g_band = redflower.infer(hide(members, {"ps1_g"}), model, settings=settings)
    describe("without g", no_g_band)
    chosen = np.sort(np.random.default_rng(0).permutation(len(members))[:n_stars])
    bare = redflower.infer(hide(members[chosen], {band.name for band in BANDS[:3]}), model, settings=settings)
    describe(f"{len(chosen)} of them without Gaia's photometry", bare)
    by_colour(bare, members[chosen], (0.5, 0.8, 1.0, 1.3, 1.8, 2.6))
    both = redflower.usable_rows(bare) & redflower.usable_rows(whole[chosen])
    shift = (np.asarray(bare["ebv_mean"]) - np.asarray(whole["ebv_mean"][chosen]))[both]
    say(
        f"   without less with Gaia's photometry, {both.sum()} stars: median {np.median(shift):+.3f}, scatter "
        f"{1.4826 * np.median(np.abs(shift - np.median(shift))):.3f} mag"
    )
    say(f"   statuses without: {statuses(bare)}")
    one_point("without Gaia's photometry", bare)


def ngc188(data: Path, n_stars: int, model: str) -> None:
    """NGC 188: members, no parallaxes: the distance comes from the photometry."""
    del n_stars
    raw = Table.read(data / "ngc188_gaiaedr3_ps1_2mass.phot", format="ascii.basic")
    columns = {"source_id": "id"}
    theirs = {"gaia_g": "G", "gaia_bp": "G_BPft", "gaia_rp": "G_RP"}
    theirs |= {f"ps1_{label}": f"{label}_ps" for label in "grizy"}
    theirs |= {"tmass_j": "J_2M", "tmass_h": "H_2M", "tmass_ks": "Ks_2M"}
    for band in BANDS:
        columns[band.magnitude_column] = theirs[band.name]
        columns[magnitude_error_column(band)] = f"sig{theirs[band.name]}"
    column_map = ColumnMap(
        columns=columns,
        constants={"l": 122.9, "b": 22.4},
        extra={"membership": "CMprior"},
    )
    prepared = redflower.prepare(
        raw, purpose="inference", columns=column_map, limits=QualityLimits(g_faint_mag=G_FAINT_MAG)
    )
    stars = prepared.table
    print(prepared.report.text())
    members = stars[np.asarray(stars["membership"]) > NGC188_MEMBERSHIP_MIN]
    say(f"NGC 188: {len(members)} members of {len(stars)} stars; literature E(B-V) 0.09, 1.8 to 1.9 kpc")
    settings = InferenceSettings(density=True)
    whole = redflower.infer(members, model, settings=settings)
    say(f"   {statuses(whole)}")
    describe("all bands", whole)
    by_colour(whole, members, (0.5, 0.8, 1.0, 1.2, 1.5, 2.0, 2.6))
    one_point("all bands", whole)
    for label, names in (
        ("without g", {"ps1_g"}),
        ("Gaia and 2MASS", {f"ps1_{b}" for b in "grizy"}),
        ("Gaia and Pan-STARRS1", {band.name for band in BANDS[N_OPTICAL:]}),
    ):
        part = redflower.infer(hide(members, names), model, settings=settings)
        describe(label, part)
        one_point(label, part)


def mock(data: Path, n_stars: int, model: str) -> None:
    """A cloud at 400 pc in the mock sky, with and without Gaia's photometry."""
    del data
    sky = redflower.simulate(
        n_stars, seed=5, preset="cone", l_deg=204.7, b_deg=-21.0, radius_deg=0.5,
        clouds=[MOCK_CLOUD], cloud_scatter=0.2, g_faint_mag=G_FAINT_MAG,
    )  # fmt: skip
    stars = redflower.prepare(sky, purpose="inference").table
    prior = DustPrior(ebv_scale_mag=0.2, foreground_std_mag=0.05)
    say(f"Mock sky: {len(stars)} stars, {MOCK_CLOUD[1]} mag at {MOCK_CLOUD[0]:.0f} pc with a scatter of 0.2")
    bare = hide(stars, {band.name for band in BANDS[:3]})
    for label, table, settings in (
        ("with Gaia's photometry", stars, InferenceSettings(density=True)),
        ("without", bare, InferenceSettings(ebv_max_mag=ORION_EBV_MAX_MAG, engine="nuts", density=True)),
    ):
        posteriors = redflower.infer(table, model, settings=settings)
        good = redflower.usable_rows(posteriors)
        residual = np.asarray(posteriors["ebv_mean"] - posteriors["true_ebv"])[good]
        sigma = np.asarray(posteriors["ebv_std"])[good]
        z = residual / sigma
        beyond = np.mean(np.asarray(posteriors["flags"]) & int(Flag.BEYOND_LIMITS) != 0)
        say(f"   {label}: {statuses(posteriors)}; flag BEYOND_LIMITS {beyond:.2f}")
        say(
            f"   {good.sum()} usable: residual mean {residual.mean():+.4f} median {np.median(residual):+.4f}, sigma mean "
            f"{sigma.mean():.4f} median {np.median(sigma):.4f} mag, z mean {z.mean():+.2f} std {z.std():.2f}",
        )
        cloud_lines(
            redflower.sightline(posteriors, max_clouds=2, prior=prior), (250.0, 350.0, 450.0, 600.0, 1000.0)
        )


NAMES = {"orion": "orion", "m67": "m67-sightline", "ngc188": "ngc188", "mock": "mock-cloud"}
PARTS = {"orion": (orion, 600), "m67": (m67, 120), "ngc188": (ngc188, 0), "mock": (mock, 160)}


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--stars", type=int, help="stars that NUTS infers")
    parser.add_argument("--model", default="mock-sky", help="a shipped model or a file")
    asked = parser.parse_args()
    part, default = PARTS[asked.part]
    name = NAMES[asked.part] + ("" if asked.model == "mock-sky" else f"-{Path(asked.model).stem}")
    with recording(name, seed=0):
        part(asked.data, asked.stars or default, asked.model)


if __name__ == "__main__":
    main()
