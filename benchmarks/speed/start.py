"""How long a user waits for the posteriors of 20 stars: the first time on a machine, which compiles, and later.

    python -m benchmarks.speed.start [--runs 5]

Whole processes of `redflower infer`, the start of Python and the end of it included, with a folder of compiled programs that is
empty at first. Beside them a command that is refused once all is imported and the table was looked at: what Python and packages
take. The median of the later runs counts.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from benchmarks.commands import compile_anew, timed
from benchmarks.results import recording, say, table

import redflower

N_STARS = 20
MODEL = "mock-sky"


def main() -> None:
    """Time the first run and later ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    n_runs = parser.parse_args().runs
    with recording("start"), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compile_anew(folder)
        sky = redflower.simulate(N_STARS, seed=5, preset="two-cloud")
        redflower.prepare(sky, purpose="inference").table.write(folder / "stars.parquet")
        load = os.getloadavg()[0]
        infer = ("infer", "stars.parquet", "posteriors.parquet", "--model", MODEL, "--overwrite")
        # The column that does not exist is found when all is imported and the table is open.
        refused = (*infer, "--keep", "no_such_column")
        times = {
            "the first run, which compiles": [timed(folder, *infer)],
            "later": [timed(folder, *infer) for _ in range(n_runs)],
            "later, refused before the first star": [
                timed(folder, *refused, accepted=(2,)) for _ in range(n_runs)
            ],
        }
        say(f"Load of the machine at the start: {load:.1f} processes on {os.cpu_count()} cores.")
        lines = table({"20 stars by `redflower infer`": "", "wall [s]": ".1f", "processor [s]": ".1f"})
        for what, of_runs in times.items():
            lines.row(what, *np.median(np.array(of_runs), axis=0))


if __name__ == "__main__":
    main()
