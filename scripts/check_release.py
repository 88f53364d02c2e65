"""Check all that a release promises, the slow things too, in order; write what held.

Usage: python -m scripts.check_release OUT [--only NAME ...] [--skip NAME ...] [--again] [--list]

Each step is a command of the Makefile; every result of the docs is a step of its own, and `results` stands for them all.
OUT gets `results.json`, which is written after every step, the whole output of each step, NAME.log, and one page,
`index.html`, that says what held. A step that held at this very commit is not run again unless asked (--again), so that
a check that was stopped goes on; `--list` says what has held, and how many minutes each of the others takes on two idle
cores, and runs nothing. Ends with 1 if anything did not hold. About twenty hours.
"""

import argparse
import html
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.__main__ import RUNS

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Step:
    """One thing that must hold.

    Attributes
    ----------
    name : of the step.
    shows : what it shows.
    command : that must end well.
    minutes : that it takes on two idle cores, about.
    """

    name: str
    shows: str
    command: tuple[str, ...]
    minutes: int = 0


STEPS = (
    Step("lint", "style and types", ("make", "lint"), 2),
    Step("test", "every test that takes less than a minute", ("make", "test"), 12),
    Step(
        "test-slow",
        "the long tests: calibration, clouds, real stars, faults, whole runs",
        ("make", "test-slow"),
        60,
    ),
    Step("docs", "the pages are built without a warning, those with code run", ("make", "docs"), 4),
    Step(
        "check-dist",
        "wheel and sdist install into an empty environment and run the demo",
        ("make", "check-dist"),
        8,
    ),
    Step("bench", "speed and memory, as ratios within one run", ("make", "bench"), 25),
    *(
        Step(
            f"result-{run.name}",
            f"docs/{run.page}, measured again",
            ("make", "results", f"ONLY={run.name}"),
            run.minutes,
        )
        for run in RUNS
    ),
)
#: Steps whose names begin so, together; as `--only` and `--skip` take them.
RESULTS = "results"


@dataclass(frozen=True)
class Outcome:
    """What came of a step.

    Attributes
    ----------
    held : whether its command ended well.
    seconds : of wall time.
    last : last line of its output.
    commit, clean : of the repository, and whether it had no changes of its own.
    """

    name: str
    held: bool
    seconds: float
    last: str
    commit: str
    clean: bool


_NAMED = 5


def _hours(steps: "tuple[Step, ...] | list[Step]") -> str:
    minutes = sum(step.minutes for step in steps)
    return f"{minutes} minutes" if minutes < 100 else f"{minutes / 60:.0f} hours"


def run_step(step: Step, log: Path, commit: str, *, clean: bool) -> Outcome:
    """Run a step, keep its output, and return what came of it."""
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(
            step.command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    lines = [line.strip() for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    last = lines[-1][:300] if lines else ""
    return Outcome(step.name, code == 0, round(time.monotonic() - started, 1), last, commit, clean)


def page(outcomes: dict[str, Outcome], steps: tuple[Step, ...] = STEPS) -> str:
    """Return the page: what held first, then every step."""
    bad = [name for name, outcome in outcomes.items() if not outcome.held]
    missing = [step for step in steps if step.name not in outcomes]
    commits = sorted({outcome.commit for outcome in outcomes.values()})
    if bad:
        verdict = f"Not to be released: {', '.join(bad)} did not hold."
    elif missing:
        some = ", ".join(step.name for step in missing[:_NAMED]) + (" and others" if missing[_NAMED:] else "")
        left = f"{len(missing)} of {len(steps)} did not run yet ({some}), about {_hours(missing)}"
        verdict = f"Not finished: {left}; all others held."
    elif len(commits) > 1 or not all(outcome.clean for outcome in outcomes.values()):
        verdict = "All held, but not of one commit without changes: check again before a release."
    else:
        verdict = "All held."
    rows = []
    for step in steps:
        outcome = outcomes.get(step.name)
        words = "not run" if outcome is None else "held" if outcome.held else "DID NOT HOLD"
        cells = [step.name, step.shows, " ".join(step.command), words]
        cells += (
            ["", "", ""]
            if outcome is None
            else [f"{outcome.seconds:,.0f} s", outcome.commit[:10], outcome.last]
        )
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    heads = "".join(
        f"<th>{name}</th>" for name in ("step", "shows", "command", "result", "time", "commit", "last line")
    )
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Release check</title><style>body{font:16px/1.5 "
        "system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.2rem .8rem;"
        "border-bottom:1px solid #ddd;vertical-align:top}</style></head><body><h1>Release check</h1>"
        f"<p><strong>{html.escape(verdict)}</strong></p><table><tr>{heads}</tr>{''.join(rows)}</table></body></html>\n"
    )


def check(out: Path, steps: tuple[Step, ...], commit: str, *, clean: bool, again: bool) -> dict[str, Outcome]:
    """Run the steps in order; write the results and the page after each."""
    out.mkdir(parents=True, exist_ok=True)
    record = out / "results.json"
    kept = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    outcomes = {name: Outcome(**one) for name, one in kept.items()}
    for step in steps:
        if _held_before(outcomes.get(step.name), commit, clean=clean) and not again:
            print(f"{step.name}: held before, at this commit", flush=True)
            continue
        print(f"{step.name}: {' '.join(step.command)}, about {step.minutes} minutes ...", flush=True)
        outcomes[step.name] = run_step(step, out / f"{step.name}.log", commit, clean=clean)
        one = outcomes[step.name]
        print(
            f"{step.name}: {'held' if one.held else 'DID NOT HOLD'} ({one.seconds:,.0f} s): {one.last}",
            flush=True,
        )
        record.write_text(
            json.dumps({name: asdict(o) for name, o in outcomes.items()}, indent=1) + "\n", "utf-8"
        )
        (out / "index.html").write_text(page(outcomes), "utf-8")
    return outcomes


def _held_before(outcome: Outcome | None, commit: str, *, clean: bool) -> bool:
    return outcome is not None and outcome.held and outcome.commit == commit and outcome.clean and clean


def wanted_steps(only: list[str], skip: list[str]) -> tuple[Step, ...]:
    """Return the steps of some names; `RESULTS` stands for all results."""

    def named(step: Step, names: list[str]) -> bool:
        return step.name in names or (RESULTS in names and step.name.startswith("result-"))

    return tuple(step for step in STEPS if (not only or named(step, only)) and not named(step, skip))


def main() -> None:
    """Check, and end with 1 if anything did not hold."""
    names = [*(step.name for step in STEPS), RESULTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="NAME")
    parser.add_argument("--skip", nargs="+", choices=names, default=[], metavar="NAME")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    wanted = wanted_steps(arguments.only, arguments.skip)
    commit = _git("rev-parse", "HEAD")
    # The results that are measured again are what the check writes; they are no change of the program.
    clean = not _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/results")
    if arguments.list:
        _list(arguments.out, wanted, commit, clean=clean)
        return
    outcomes = check(arguments.out, wanted, commit, clean=clean, again=arguments.again)
    print(f"see {arguments.out / 'index.html'}")
    sys.exit(not all(outcomes[step.name].held for step in wanted))


def _list(out: Path, steps: tuple[Step, ...], commit: str, *, clean: bool) -> None:
    record = out / "results.json"
    kept = json.loads(record.read_text("utf-8")) if record.is_file() else {}
    left = []
    for step in steps:
        held = _held_before(Outcome(**kept[step.name]) if step.name in kept else None, commit, clean=clean)
        left += [] if held else [step]
        print(f"{step.name}: {' '.join(step.command)}: {'held' if held else f'about {step.minutes} minutes'}")
    print(f"{len(left)} of {len(steps)} are to be run: about {_hours(left)} of two idle cores")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
