"""From a table as VizieR delivers it to the first figure: one command, timed.

    python -m benchmarks.speed.first_figure PATH/m67_gaiadr2_ps1_2mass.fits [--write]

The table is M67's of `docs/measured/m67.md` under the names of VizieR's catalogues I/345 (Gaia DR2), II/349 (Pan-STARRS1) and
II/246 (2MASS), as a CSV without units: what TOPCAT or the CDS cross-match service leave. ``--write`` writes the figures to
docs/results.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import Table

RESULTS = Path(__file__).parents[2] / "docs" / "results"
_GAIA = "gaia_dr2_source."
#: VizieR's name -> the name in the cross-match.
NAMES = {
    "RA_ICRS": f"{_GAIA}ra", "DE_ICRS": f"{_GAIA}dec", "Source": f"{_GAIA}source_id", "Plx": f"{_GAIA}parallax",
    "e_Plx": f"{_GAIA}parallax_error", "o_Gmag": f"{_GAIA}phot_g_n_obs", "Nper": f"{_GAIA}visibility_periods_used",
    **{
        f"{vizier}{band}{mag}": f"{_GAIA}phot_{band.lower()}_mean_{ours}"
        for band in ("G", "BP", "RP")
        for vizier, mag, ours in (("F", "", "flux"), ("e_F", "", "flux_error"), ("", "mag", "mag"))
    },
    **{f"{label}mag": f"PS_{label}" for label in "grizy"},
    **{f"e_{label}mag": f"PS_{label}_Err" for label in "grizy"},
    "Jmag": "2MASS_J", "e_Jmag": "2MASS_J_Err", "Hmag": "2MASS_H", "e_Hmag": "2MASS_H_Err", "Kmag": "2MASS_Ks",
    "e_Kmag": "2MASS_Ks_Err", "Qflg": "tmass.ph_qual",
}  # fmt: skip
#: Neither is the archive's current release.
PHOTOMETRY = "gaia=dr2,ps1=pre-release"


def vizier_table(path: "str | Path") -> Table:
    """Return the cross-match under VizieR's names."""
    whole = Table.read(path)
    table = Table({name: whole[theirs] for name, theirs in NAMES.items()})
    table["Qflg"] = [word.decode() if isinstance(word, bytes) else str(word) for word in table["Qflg"]]
    for name in table.colnames:
        table[name].unit = None
    return table


def main() -> None:
    """Time `redflower run` on the table, in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("m67", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--out", type=Path, help="folder to keep")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stars = Path(folder) / "m67_vizier.csv"
        vizier_table(arguments.m67).write(stars)
        out = arguments.out or Path(folder) / "m67"
        command = [
            sys.executable,
            "-c",
            "from redflower.cli.app import main; main()",
            "run",
            str(stars),
            str(out),
        ]
        before, started = os.times(), time.monotonic()
        subprocess.run([*command, "--photometry", PHOTOMETRY], check=True)
        wall_s, after = time.monotonic() - started, os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        numbers = json.loads((out / "run.json").read_text())
        first = (out / "reddening-distance.png").stat().st_mtime
    content = {
        "command": f"redflower run m67_vizier.csv m67 --photometry {PHOTOMETRY}",
        "wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1), "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[1], 1), "n_rows": numbers["n_rows"], "n_usable": numbers["n_usable"],
        "bands": sum(n > 0 for n in numbers["bands"].values()), "mean_reddening": numbers["mean_reddening"],
        "verdict": numbers["provenance"]["verdict"], "figure_written": bool(np.isfinite(first)),
    }  # fmt: skip
    print(json.dumps(content, indent=1))
    if arguments.write:
        (RESULTS / "first-figure.json").write_text(json.dumps(content, indent=1) + "\n")
        mean = content["mean_reddening"]
        (RESULTS / "first-figure.md").write_text(
            "| | |\n|---|---|\n"
            f"| wall time | {content['wall_s']:.0f} s ({content['cpu_s']:.0f} s of a core; {content['cores']} cores, load "
            f"{content['load']:.1f}) |\n"
            f"| stars used | {content['n_usable']:,} of {content['n_rows']:,}, {content['bands']} bands |\n"
            f"| mean E(B-V) | {mean['ebv_mag']:.3f} +- {mean['ebv_error_mag']:.3f} mag |\n"
            f"| verdict | {'the model is right' if content['verdict']['good'] else 'the model is not right'} |\n"
        )


if __name__ == "__main__":
    main()
