"""The time left: an estimate that holds from early on, though hard stars come at the end of every part."""

import numpy as np
import pytest

from redflower.api.pace import Pace, TimedSteps
from redflower.posterior.status import FAST, IMPORTANCE, NUTS
from redflower.progress import Counter, be_quiet, duration

#: Seconds of a core for a star, as measured on real stars off the model's sky, where chains take most of the time.
COST_S = {FAST: 2e-3, IMPORTANCE: 9e-3, NUTS: 0.4}


def run(n_parts: int, n_rows: int = 2000, shares=(0.3, 0.25), compile_s: float = 60.0, n_workers: int = 1):
    """Play a run; return of every step its part, the time left, and what is estimated of it. [s]"""
    pace = Pace(n_parts * n_rows, FAST, n_workers)
    steps, clock = [], 0.0
    compiled = set()
    for part in range(n_parts):
        n2, n3 = int(shares[0] * n_rows), int(shares[0] * shares[1] * n_rows)
        for engine, n, batch, settled in (
            (FAST, n_rows, 100, 1 - shares[0]),
            (IMPORTANCE, n2, 20, 1 - shares[1]),
            (NUTS, n3, 5, 1.0),
        ):
            for _ in range(n // batch):
                seconds = batch * COST_S[engine] / n_workers
                clock += seconds + (0.0 if engine in compiled else compile_s)
                pace.step(
                    engine, batch, round(batch * settled), seconds * n_workers if engine in compiled else None
                )
                compiled.add(engine)
                steps.append((part, clock, pace.left_s()))
    return [(part, clock - at, left) for part, at, left in steps]


@pytest.mark.parametrize("n_workers", [1, 4])
def test_the_estimate_holds_once_each_engine_was_seen(n_workers: int) -> None:
    """From the second part of ten on, within a tenth: the costs do not change here, and the shares alone are guessed."""
    ratio = np.array(
        [guess / left for part, left, guess in run(10, n_workers=n_workers) if part and left > 1.0]
    )
    assert ratio.min() > 0.9
    assert ratio.max() < 1.1


def test_before_any_chain_was_seen_the_estimate_is_right_to_a_factor_of_three() -> None:
    """Of stars on the model's sky: how many go on to step 2 is seen at once, and how many to chains is assumed."""
    early = [guess / left for part, left, guess in run(10, shares=(0.25, 0.03), compile_s=0.0)[2:20]]
    assert min(early) > 1 / 3
    assert max(early) < 3


def test_programs_that_are_compiled_do_not_count_as_work() -> None:
    told = []
    steps = TimedSteps(told.append, set())
    steps.step(FAST, 128, 100)
    steps.step(FAST, 128, 100)
    steps(200)
    assert told[0] == (FAST, 128, 100, None)
    assert told[1][3] >= 0.0
    assert told[2] == 200


def test_a_log_has_plain_lines_with_rate_failures_and_time_left(capsys, monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("redflower.progress.time.monotonic", lambda: clock[0])
    with Counter("stars", None) as count:
        count(0, 5000)
        clock[0] = 20.0
        count(1000, 5000, left_s=7000.0, n_failed=2)
        clock[0] = 21.0
        count(1100, 5000)  # too soon for a line
        clock[0] = 100.0
        count(5000, 5000, n_failed=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "stars: 1,000 of 5,000 in 20 s, 50/s, 2 failed, 1 h 57 min left",
        "stars: 5,000 of 5,000 in 2 min, 50/s, 2 failed",
    ]


def test_durations_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (0.2, 99, 150, 5940, 7800)] == [
        "0 s",
        "99 s",
        "2 min",
        "99 min",
        "2 h 10 min",
    ]


def test_quiet_shows_nothing(capsys, monkeypatch) -> None:
    monkeypatch.setattr("redflower.progress._QUIET", [])
    be_quiet()
    with Counter("stars", 10) as count:
        count(10)
    assert capsys.readouterr().err == ""
