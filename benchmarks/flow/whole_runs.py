"""Run `simulate`, `prepare` and `train` as a user does, and time them: from no stars to a model and its report.

Usage: python -m benchmarks.flow.whole_runs [--laptop 110000] [--paper-sized 747000]

Every command is a process of its own. Beside its minutes stands its processor time, which a busy machine does not change, and
the most memory that it held. The emulator, whose cost does not depend on the sample, is left out (``n_steps = 0``).
"""

import argparse
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.commands import command
from benchmarks.results import ROOT, Table, recording, say, table

SEED = 7
FAINT = ("--g-faint", "19")
PAPER_STARS = 7_187_588


@dataclass(frozen=True)
class Cost:
    """What one command took.

    Attributes
    ----------
    memory_gb : most of the process's own memory: pages that no file holds.
    """

    minutes: float
    processor_minutes: float
    memory_gb: float


def main() -> None:
    """Run both samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--laptop", type=int, default=110_000)
    parser.add_argument("--paper-sized", type=int, default=747_000)
    arguments = parser.parse_args()
    with recording("whole-runs", seed=SEED):
        say("`redflower` by its commands, a process each; the training without the emulator.")
        rows = table(
            {
                "configuration": "", "command": "", "stars": ",", "minutes": ".1f", "processor minutes": ".1f",
                "own memory at most [GB]": ".1f",
            }
        )  # fmt: skip
        whole_run("laptop", arguments.laptop, rows)
        stars, cost = whole_run("paper-sized", arguments.paper_sized, rows)
        say(
            f"In proportion, the paper's {PAPER_STARS:,} stars would take "
            f"{cost.processor_minutes * PAPER_STARS / stars:.0f} processor minutes of training."
        )


def whole_run(name: str, n_stars: int, rows: Table) -> tuple[int, Cost]:
    """Simulate, prepare and train with a configuration of `configs/`; return the stars of the training and its cost."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / f"{name}.toml"
        config.write_text(without_emulator((ROOT / "configs" / f"{name}.toml").read_text("utf-8")), "utf-8")
        commands = (
            ("simulate", "sky.parquet", "--preset", "high-latitude", "--stars", str(n_stars), "--seed", str(SEED), *FAINT),
            ("prepare", "sky.parquet", "stars.parquet", "--for", "training", *FAINT),
            ("train", "stars.parquet", "model", "--config", config.name),
        )  # fmt: skip
        for words in commands:
            cost = timed(words, Path(folder))
            stars = count_of(Path(folder)) if words[0] == "train" else n_stars
            rows.row(name, words[0], stars, cost.minutes, cost.processor_minutes, cost.memory_gb)
    return stars, cost


def without_emulator(config: str) -> str:
    """Return a configuration that trains no emulator."""
    kept = re.sub(r"^\[emulator\]\n(?:(?!\[).*\n?)*", "", config, flags=re.MULTILINE)
    return f"{kept}\n[emulator]\nn_steps = 0\n"


def count_of(folder: Path) -> int:
    """Return how many stars the model of a folder was trained on."""
    from redflower.flow import load_model

    return int(load_model(str(folder / "model.safetensors")).provenance["stars"])


def timed(words: tuple[str, ...], folder: Path) -> Cost:
    """Run a command in a folder, and watch its memory; fail with what it said if it fails."""
    began, peak = time.monotonic(), [0.0]
    processor_minutes = command(folder, *words, accepted=(0,), watch=lambda process: watch(process, peak))
    return Cost((time.monotonic() - began) / 60.0, processor_minutes, peak[0])


def watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    """Keep the most anonymous memory of a process in `peak`, until it ends. [GB]"""
    while process.returncode is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text("utf-8").splitlines()
        except OSError:
            return
        own_kb = [int(line.split()[1]) for line in lines if line.startswith("RssAnon")]
        peak[0] = max([peak[0], *(kb / 1e6 for kb in own_kb)])
        time.sleep(0.05)


if __name__ == "__main__":
    main()
