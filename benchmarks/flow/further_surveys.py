"""Models of further surveys on the simulated sky, by the commands: without Pan-STARRS1 in the south, and with SDSS u.

    python -m benchmarks.flow.further_surveys southern|sdss-u [--folder FOLDER]

Simulates a dust-free sky, prepares it, trains by ``configs/NAME.toml``, simulates a field behind one cloud, prepares and infers
it and finds its cloud: each a command of its own. Then the same stars with the bands of some surveys left out, which is the same
flow with fewer factors. Bias, sigma and coverage of E(B-V) are against the truth of the stars behind the cloud.
Writes docs/results/NAME-demonstration.json and .md. With FOLDER what is there is not made again.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from benchmarks.commands import commands_of
from benchmarks.results import ROOT, recording, say, table

import redflower
from redflower.catalogue import read_table
from redflower.posterior import InferenceSettings
from redflower.products.words_clouds import MATTERS_MAG, cloud_facts
from redflower.validate.scores import score

#: Distance and E(B-V) of the cloud. [pc], [mag]
CLOUD = (250.0, 0.15)
FAINT = ("--g-faint", "18")


@dataclass(frozen=True)
class Demonstration:
    """One of the demonstrations.

    Attributes
    ----------
    preset, cone : of the sky to train on, and of the field.
    surveys : beside Gaia, Pan-STARRS1 and 2MASS, as `simulate` names them.
    prepared : those of them that `prepare` is told of.
    bands, start : of the training.
    without : sets of bands: what is left out of each.
    last : a band of each survey, which the compared stars all have.
    """

    preset: str
    cone: str
    surveys: tuple[str, ...]
    prepared: tuple[str, ...]
    bands: str
    start: str | None
    without: dict[str, tuple[str, ...]]
    last: tuple[str, ...]
    seed: int


_SKYMAPPER = ("u_sm", "v_sm", "g_sm", "r_sm", "i_sm", "z_sm")
_U = str(ROOT / "docs" / "examples" / "sdss-u.toml")
DEMONSTRATIONS = {
    "southern": Demonstration(
        preset="southern", cone="250,-50,4", surveys=("skymapper", "allwise"), prepared=("skymapper",),
        bands="gaia+skymapper+2mass+allwise", start=None, last=("skymapper_g", "skymapper_v", "tmass_ks", "wise_w1"), seed=51,
        without={
            "Gaia + 2MASS + WISE": _SKYMAPPER,
            "with SkyMapper's g r i z": ("u_sm", "v_sm"),
            "with all of SkyMapper": (),
        },
    ),
    "sdss-u": Demonstration(
        preset="high-latitude", cone="90,45,4", surveys=(_U,), prepared=(_U,), bands="gaia+ps1+2mass+sdss-u", start="archive-sky",
        last=("sdss_u", "ps1_g", "ps1_y", "tmass_ks"), seed=52,
        without={"Gaia + PS1 + 2MASS": ("u_sdss",), "with SDSS u": ()},
    ),
}  # fmt: skip


def made(folder: Path, name: str, *, train: int, stars: int, config: Path) -> None:
    """Run the commands whose files are not there, and say what the training took."""
    one = DEMONSTRATIONS[name]
    surveys = [word for survey in one.surveys for word in ("--survey", survey)]
    prepared = [word for survey in one.prepared for word in ("--survey", survey)]
    sky = ("--population", "sky", "--seed", str(one.seed), *FAINT, *surveys)
    start = ("--start-from", one.start) if one.start else ()
    distance_pc, ebv_mag = CLOUD
    commands = {
        "sky.parquet": ("simulate", "sky.parquet", "--preset", one.preset, "--stars", str(train), *sky),
        "stars.parquet": ("prepare", "sky.parquet", "stars.parquet", "--for", "training", *prepared, *FAINT),
        "model.safetensors": ("train", "stars.parquet", "model.safetensors", "--config", str(config), "--bands", one.bands,
                              *prepared, *start, "--distance-prior", "sky"),
        "field.parquet": ("simulate", "field.parquet", "--preset", "cone", "--cone", one.cone, "--clouds",
                          f"{distance_pc:g}:{ebv_mag:g}", "--stars", str(stars), *sky),
        "prepared.parquet": ("prepare", "field.parquet", "prepared.parquet", "--for", "inference", *prepared, *FAINT),
        "posteriors.parquet": ("infer", "prepared.parquet", "posteriors.parquet", "--model", "model.safetensors", "--density",
                               "--no-hand-on", "--distance-prior", "sky"),
        "clouds": ("sightline", "posteriors.parquet", "clouds", "--max-clouds", "2"),
    }  # fmt: skip
    minutes = commands_of(folder, commands)
    say(
        f"{train:,} stars, {minutes['train']:.0f} minutes of a processor for the training by `configs/{config.name}`; bands "
        f"`{one.bands}`. Of the field {stars:,} stars, behind or before {ebv_mag:g} mag at {distance_pc:g} pc."
    )


def compared(folder: Path, name: str) -> None:
    """Infer the field with every set of bands, and record bias, sigma and coverage by type of star."""
    one = DEMONSTRATIONS[name]
    prepared: Table = read_table(folder / "prepared.parquet")
    model = str(folder / "model.safetensors")
    truth = np.asarray(prepared["true_ebv"], float)
    seen = np.all(
        [np.isfinite(np.asarray(np.ma.filled(prepared[band], np.nan), float)) for band in one.last], axis=0
    )
    g_mag, behind = np.asarray(prepared["gaia_g"], float), truth > 0
    types = {
        "all with a band of every survey": seen,
        "G < 16": seen & (g_mag < 16.0),
        "G of 16 to 18": seen & (g_mag >= 16.0),
        "without 2MASS": ~np.isfinite(np.asarray(np.ma.filled(prepared["tmass_ks"], np.nan), float)),
    }
    found = {
        words: redflower.infer(prepared, model, without=left_out, settings=InferenceSettings(hand_on=False))
        for words, left_out in one.without.items()
    }
    usable = np.all([redflower.usable_rows(post) for post in found.values()], axis=0) & behind
    say(
        f"The fast engine alone: {int((behind & ~usable).sum())} of {int(behind.sum())} stars behind the cloud, which it does "
        "not settle with every set of bands, are left out."
    )
    lines = table(
        {
            "stars of": "", "number": ",", "bands": "", "sigma [mag]": ".4f", "bias, median [mag]": "+.4f",
            "residual, scatter [mag]": ".4f", "scatter of z": ".2f", "68 % holds": ".3f", "error of that": ".3f",
        }
    )  # fmt: skip
    sigma = {}
    for kind, chosen in types.items():
        for words, post in found.items():
            columns = {key: np.asarray(post[key]) for key in post.colnames if key.startswith("ebv_")}
            scores = score(columns, truth, chosen & usable)
            if scores.n_used < 20:
                continue
            sigma.setdefault(kind, []).append(scores.sigma_mean)
            lines.row(
                kind, scores.n_used, words, scores.sigma_mean, scores.residual_median, scores.residual_rms, scores.z_std,
                scores.inside_68, np.sqrt(0.68 * 0.32 / scores.n_used),
            )  # fmt: skip
    for kind in ("all with a band of every survey", "G < 16"):
        less = 100 * (1 - sigma[kind][-1] / sigma[kind][0])
        say(f"  {kind}: with every band sigma is **{less:.0f} %** smaller than with the fewest.")


def clouds_found(folder: Path) -> None:
    """Say what `sightline` found."""
    count, where = cloud_facts(json.loads((folder / "clouds" / "clouds.json").read_text("utf-8")))
    say(
        f"`sightline` on the posteriors of all bands: {count.value} of at least {MATTERS_MAG} mag; {where.value}."
    )


def main() -> None:
    """Make what is not there, and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=DEMONSTRATIONS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--train", type=int, default=40_000)
    parser.add_argument("--stars", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = arguments.folder or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        with recording(f"{arguments.name}-demonstration", seed=DEMONSTRATIONS[arguments.name].seed):
            config = ROOT / "configs" / f"{arguments.name}.toml"
            made(folder, arguments.name, train=arguments.train, stars=arguments.stars, config=config)
            compared(folder, arguments.name)
            clouds_found(folder)


if __name__ == "__main__":
    main()
