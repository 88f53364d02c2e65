"""From a table as VizieR delivers it to the first figure: one command, timed on a machine that has run nothing yet, and later.

    python -m benchmarks.speed.first_figure PATH/m67_gaiadr2_ps1_2mass.fits

The table is M67's of `docs/measured/m67.md` under the names of VizieR's catalogues I/345 (Gaia DR2), II/349 (Pan-STARRS1) and
II/246 (2MASS), as a CSV without units: what TOPCAT or the CDS cross-match service leave. The first of two runs has an empty
folder of compiled programs. Writes docs/results/first-figure.json and .md.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from astropy.table import Table
from benchmarks.commands import compile_anew, timed
from benchmarks.results import recording, say, table

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
FIGURE = "reddening-distance.png"


def vizier_table(path: "str | Path") -> Table:
    """Return the cross-match under VizieR's names."""
    whole = Table.read(path)
    found = Table({name: whole[theirs] for name, theirs in NAMES.items()})
    found["Qflg"] = [word.decode() if isinstance(word, bytes) else str(word) for word in found["Qflg"]]
    for name in found.colnames:
        found[name].unit = None
    return found


def to_figure(folder: Path, out: str) -> tuple[float, float]:
    """Run the command once, to a folder of its own; return its wall time and its processor time. [s]"""
    times = timed(folder, "run", "m67_vizier.csv", out, "--photometry", PHOTOMETRY)
    if not (folder / out / FIGURE).is_file():
        raise SystemExit(f"the command left no {FIGURE}")
    return times


def main() -> None:
    """Time `redflower run` on the table, in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("m67", type=Path)
    arguments = parser.parse_args()
    with recording("first-figure"), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compile_anew(folder)
        vizier_table(arguments.m67).write(folder / "m67_vizier.csv")
        load = os.getloadavg()[0]
        times = {
            "the first run on a machine, which compiles": to_figure(folder, "m67"),
            "later": to_figure(folder, "again"),
        }
        say(
            f"`redflower run m67_vizier.csv m67 --photometry {PHOTOMETRY}`. "
            f"Load of the machine at the start: {load:.1f} processes on {os.cpu_count()} cores."
        )
        lines = table({"from the table to the figure": "", "wall [s]": ".0f", "processor [s]": ".0f"})
        for what, of_run in times.items():
            lines.row(what, *of_run)
        numbers = json.loads((folder / "m67" / "run.json").read_text())
        mean = numbers["mean_reddening"]
        good = numbers["provenance"]["verdict"]["good"]
        say(
            "{used:,} of {rows:,} stars are used, with {bands} bands. Their mean E(B-V) is {ebv_mag:.3f} +- {error_mag:.3f} mag. "
            "The verdict: the model is " + ("right" if good else "not right") + " for them.",
            used=numbers["n_usable"], rows=numbers["n_rows"], bands=sum(n > 0 for n in numbers["bands"].values()),
            ebv_mag=mean["ebv_mag"], error_mag=mean["ebv_error_mag"],
        )  # fmt: skip


if __name__ == "__main__":
    main()
