"""M67, real stars: the shipped model as it is, then a flow trained on four fifths of the cluster's field.

Usage: python -m benchmarks.real_stars.m67 PATH/m67_gaiadr2_ps1_2mass.fits

Prints what docs/measured/m67.md quotes. Takes about fifteen minutes on two cores.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from astropy.table import Table

import redflower
from redflower.bands import BANDS, BP, RP
from redflower.catalogue import PreparedStars, QualityLimits, prepared_error_name
from redflower.physics import Zhang23Law, extinction_mag
from redflower.train import read_config

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
#: How the real stars of the field correct the shipped flow.
FINE_TUNE = EXAMPLES / "real-field.toml"
G_FAINT_MAG = 19.0
#: Constant zero point of Gaia DR2 parallaxes (Lindegren et al. 2018). [mas]
ZERO_POINT_MAS = -0.029
MEMBERSHIP_MIN = 0.5
SYNTHETIC_MAG = (0.0, 0.1, 0.2, 0.3)
N_OPTICAL = 8


def field(path: str | Path) -> PreparedStars:
    """The stars of the cluster's field within the shipped model's limits."""
    return redflower.prepare(
        path,
        purpose="inference",
        columns=EXAMPLES / "m67_columns.toml",
        zero_point=ZERO_POINT_MAS,
        limits=QualityLimits(g_faint_mag=G_FAINT_MAG),
    )


def reddened(stars: Table, ebv_mag: float) -> Table:
    """The stars behind ebv_mag more dust, their observed colour taken as the intrinsic one (section 5.1)."""
    law, out = Zhang23Law(), stars.copy()
    colour_mag = np.asarray(stars[BANDS[BP].name]) - np.asarray(stars[BANDS[RP].name])
    added = jax.vmap(lambda c: extinction_mag(law, jnp.float32(ebv_mag), c))(
        jnp.asarray(colour_mag, jnp.float32)
    )
    for k, band in enumerate(BANDS):
        out[band.name] = np.asarray(stars[band.name]) + np.asarray(added)[:, k]
    return out


def without_2mass(stars: Table) -> Table:
    """The stars with Gaia and Pan-STARRS1 alone."""
    out = stars.copy()
    for band in BANDS[N_OPTICAL:]:
        out[band.name] = np.nan
        out[prepared_error_name(band)] = np.nan
    return out


def main() -> None:
    """Run both parts."""
    prepared = field(sys.argv[1])
    stars = prepared.table
    print(prepared.report.text().split("note:")[0])
    complete = np.isfinite(np.stack([stars[band.name] for band in BANDS[:N_OPTICAL]])).all(axis=0)
    member = np.asarray(stars["membership_probability"]) > MEMBERSHIP_MIN
    members = stars[complete & member]
    print(f"1. The model mock-sky on {len(members)} members with 8 bands or more")
    print(
        f"   median E(B-V) of the map (SFD, in the table): {np.median(members['ebv_sfd']):.3f}; literature 0.04"
    )
    for label, sample in (("11 bands where there", members), ("8 bands", without_2mass(members))):
        result = redflower.infer(sample, "mock-sky")
        good = redflower.usable_rows(result)
        ebv = np.asarray(result["ebv_mean"])[good]
        scatter = 1.4826 * np.median(np.abs(ebv - np.median(ebv)))
        print(
            f"   {label}: {good.sum()} usable, median E(B-V) {np.median(ebv):+.3f}, scatter {scatter:.3f}, mean sigma "
            f"{np.mean(np.asarray(result['ebv_std'])[good]):.3f} mag",
            flush=True,
        )

    shuffled = np.random.default_rng(0).permutation(np.flatnonzero(complete))
    held_out = shuffled[: len(shuffled) // 5]
    kept = shuffled[len(shuffled) // 5 :]
    model, run = redflower.train(
        stars[kept], name="m67", config=read_config(FINE_TUNE), start_from=redflower.load_model("mock-sky")
    )
    first, best = run.history[0].validation_log_evidence, run.validation_log_evidence
    print(
        f"2. Trained on {len(kept)} stars of the field from mock-sky: held-out ln evidence {first:.2f} -> {best:.2f}"
    )
    for label, sample in (
        ("11 bands where there", stars[held_out]),
        ("8 bands", without_2mass(stars[held_out])),
    ):
        for ebv_mag in SYNTHETIC_MAG:
            result = redflower.infer(reddened(sample, ebv_mag), model)
            good = redflower.usable_rows(result)
            residual = np.asarray(result["ebv_mean"])[good] - ebv_mag
            sigma = np.asarray(result["ebv_std"])[good]
            z = residual / sigma
            print(
                f"   {label}, E = {ebv_mag:.1f}: {good.sum()} of {len(sample)} usable, residual mean "
                f"{residual.mean():+.4f} median {np.median(residual):+.4f}, sigma {sigma.mean():.4f} mag, z mean "
                f"{z.mean():+.2f} std {z.std():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
