"""Train the model that comes with the package: simulate a dust-free sky, prepare it, train, write.

Usage: python scripts/train_shipped_model.py [--config FILE] [--stars N] [--start-from MODEL]
    [--emulator-only [--emulator-from MODEL] [--law NAME]
    [--emulator-steps N]] [--output FILE] [--resume]

Writes src/redflower/data/models/mock-sky.safetensors unless told otherwise.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import redflower
from redflower.catalogue import QualityLimits
from redflower.flow import save_model
from redflower.physics import law_of_name
from redflower.train import DistilStep, Epoch, distil, read_config

ROOT = Path(__file__).parents[1]
SEED = 20_250_101
G_BRIGHT_MAG, G_FAINT_MAG = 13.5, 19.0
DESCRIPTION = (
    "Trained on redflower's own mock sky, not on real stars: for demonstrations, tests, and as a starting point. "
    "Gaia + Pan-STARRS1 + 2MASS, 13.5 < G < 19."
)


def show(epoch: Epoch) -> None:
    """A line per epoch."""
    print(
        f"stage {epoch.stage + 1} epoch {epoch.epoch + 1}: training {epoch.train_log_evidence:.3f}, "
        f"validation {epoch.validation_log_evidence:.4f}, {epoch.stars_per_s:,.0f} stars/s, at most "
        f"{epoch.seconds_left / 60:.0f} min left",
        flush=True,
    )


def show_emulator(step: DistilStep) -> None:
    """A line per few hundred steps of the emulator."""
    print(
        f"emulator step {step.step}: density {-step.density_loss:.4f}, proposal {-step.denoiser_loss:.4f}, "
        f"{step.seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    """Simulate, prepare, train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "laptop.toml")
    parser.add_argument("--stars", type=int, default=110_000)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "src" / "redflower" / "data" / "models" / "mock-sky"
    )
    parser.add_argument("--start-from", help="a model to go on from")
    parser.add_argument("--emulator-only", action="store_true", help="keep its flow, and distil the emulator")
    parser.add_argument(
        "--emulator-from", help="a model whose emulator to go on from; that of --start-from without it"
    )
    parser.add_argument("--law", help="with --emulator-only: the extinction law that the model is to have")
    parser.add_argument(
        "--emulator-steps", type=int, help="with --emulator-only: steps, by default the configuration's"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint beside the output")
    arguments = parser.parse_args()
    if arguments.emulator_only:
        config = read_config(arguments.config).emulator
        if arguments.emulator_steps:
            config = config.model_copy(update={"n_steps": arguments.emulator_steps})
        model = redflower.load_model(arguments.start_from)
        if arguments.law:
            # A flow of stars without dust knows no law; the emulator does, and is made for it.
            model = replace(model, law=law_of_name(arguments.law))
        start = redflower.load_model(arguments.emulator_from or arguments.start_from).emulator
        emulator = distil(model, config, start_from=start, progress=show_emulator)
        model = replace(
            model, emulator=emulator, config=model.config | {"emulator": config.model_dump(mode="json")}
        )
        print(save_model(model, arguments.output), model.model_id)
        return
    began = time.monotonic()
    sky = redflower.simulate(arguments.stars, seed=SEED, g_bright_mag=G_BRIGHT_MAG, g_faint_mag=G_FAINT_MAG)
    limits = QualityLimits(g_bright_mag=G_BRIGHT_MAG, g_faint_mag=G_FAINT_MAG)
    prepared = redflower.prepare(sky, purpose="training", limits=limits)
    print(prepared.report.text())
    print(f"{time.monotonic() - began:.0f} s to simulate and prepare", flush=True)
    model, result = redflower.train(
        prepared.table,
        name="mock-sky",
        description=DESCRIPTION,
        config=read_config(arguments.config),
        start_from=redflower.load_model(arguments.start_from) if arguments.start_from else None,
        checkpoint=arguments.output.with_suffix(".checkpoint"),
        resume=arguments.resume,
        progress=show,
        emulator_progress=show_emulator,
    )
    print(save_model(model, arguments.output), model.model_id)
    print(
        f"held-out ln evidence {result.validation_log_evidence:.4f}; {(time.monotonic() - began) / 60:.1f} min"
    )


if __name__ == "__main__":
    main()
