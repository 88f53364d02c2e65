"""Train the model that comes with the package: simulate a dust-free sky, prepare it, train, write.

Usage: python scripts/train_shipped_model.py

Takes about twenty-five minutes on two cores: the flow, then the emulator. Writes src/redflower/data/models/mock-sky.safetensors.
"""

import time
from pathlib import Path

import redflower
from redflower.catalogue import QualityLimits
from redflower.flow import save_model
from redflower.train import DistilStep, Epoch, read_config

ROOT = Path(__file__).parents[1]
N_STARS = 110_000
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
    sky = redflower.simulate(N_STARS, seed=SEED, g_bright_mag=G_BRIGHT_MAG, g_faint_mag=G_FAINT_MAG)
    limits = QualityLimits(g_bright_mag=G_BRIGHT_MAG, g_faint_mag=G_FAINT_MAG)
    prepared = redflower.prepare(sky, purpose="training", limits=limits)
    print(prepared.report.text())
    began = time.process_time()
    model, result = redflower.train(
        prepared.table,
        name="mock-sky",
        description=DESCRIPTION,
        config=read_config(ROOT / "configs" / "laptop.toml"),
        progress=show,
        emulator_progress=show_emulator,
    )
    print(save_model(model, ROOT / "src" / "redflower" / "data" / "models" / "mock-sky"), model.model_id)
    print(
        f"held-out ln evidence {result.validation_log_evidence:.4f}; "
        f"{(time.process_time() - began) / 60:.1f} min of processor time"
    )


if __name__ == "__main__":
    main()
