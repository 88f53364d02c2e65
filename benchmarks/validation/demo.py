"""The demo, as a newcomer runs it; its figure is the one of README and of the first page.

    python -m benchmarks.validation.demo

Runs `redflower demo`, whose seed is its own, and puts its figure into docs/figures.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.commands import PROGRAM
from benchmarks.results import ROOT, recording, say, table

FIGURE = ROOT / "docs" / "figures" / "demo-reddening-distance.png"


def main() -> None:
    """Run it, keep its figure, and say what it found."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        command = [*PROGRAM, "demo", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        shutil.copyfile(out / "reddening-distance.png", FIGURE)
        clouds = json.loads((out / "clouds" / "clouds.json").read_text("utf-8"))
    say("The clouds of the most probable number:")
    number = max(clouds["probability"], key=clouds["probability"].get)
    rows = table({"distance [pc]": ",.0f", "error": ",.0f", "E(B-V) [mag]": ".3f", "its error": ".3f"})
    for cloud in clouds["clouds"][number]:
        rows.row(*(cloud[name] for name in ("distance_pc", "distance_pc_std", "ebv_mag", "ebv_mag_std")))


if __name__ == "__main__":
    with recording("demo"):
        main()
