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
from benchmarks.results import recording, say, table

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
    say(
        f"**The shipped model as it is**, {len(members)} members with the eight bands of Gaia and Pan-STARRS1 or more:"
    )
    lines = table(
        {"": "", "usable": "d", "median E(B-V) [mag]": "+.3f", "scatter": ".3f", "mean sigma": ".3f"}
    )
    for label, sample in (("up to 11 bands", members), ("8 bands", without_2mass(members))):
        result = redflower.infer(sample, "mock-sky")
        good = redflower.usable_rows(result)
        ebv = np.asarray(result["ebv_mean"])[good]
        scatter = 1.4826 * np.median(np.abs(ebv - np.median(ebv)))
        lines.row(label, good.sum(), np.median(ebv), scatter, np.mean(np.asarray(result["ebv_std"])[good]))
    lines.row("map of Schlegel et al., in the table", None, np.median(members["ebv_sfd"]), None, None)
    lines.row("literature", None, 0.04, None, None)

    shuffled = np.random.default_rng(0).permutation(np.flatnonzero(complete))
    held_out = shuffled[: len(shuffled) // 5]
    kept = shuffled[len(shuffled) // 5 :]
    model, run = redflower.train(
        stars[kept], name="m67", config=read_config(FINE_TUNE), start_from=redflower.load_model("mock-sky")
    )
    first, best = run.history[0].validation_log_evidence, run.validation_log_evidence
    say(
        f"**A flow trained on the cluster's field**: {len(kept)} stars, from `mock-sky` on. The held-out ln evidence rises from "
        f"{first:.2f} to {best:.2f}. The other stars get synthetic reddening:"
    )
    lines = table(
        {
            "bands": "", "E(B-V) added": ".1f", "usable": "d", "of": "d", "residual mean": "+.3f", "residual median": "+.3f",
            "mean sigma": ".3f", "z mean": "+.2f", "z std": ".2f",
        }
    )  # fmt: skip
    for label, sample in (
        ("up to 11 bands", stars[held_out]),
        ("8 bands", without_2mass(stars[held_out])),
    ):
        for ebv_mag in SYNTHETIC_MAG:
            result = redflower.infer(reddened(sample, ebv_mag), model)
            good = redflower.usable_rows(result)
            residual = np.asarray(result["ebv_mean"])[good] - ebv_mag
            sigma = np.asarray(result["ebv_std"])[good]
            z = residual / sigma
            lines.row(
                label, ebv_mag, good.sum(), len(sample), residual.mean(), np.median(residual), sigma.mean(), z.mean(), z.std()
            )  # fmt: skip


if __name__ == "__main__":
    with recording("m67", seed=0):
        main()
