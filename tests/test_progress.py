"""Times left that hold: whatever the pieces of the work are, within a factor of two from the first tenth on."""

import numpy as np
import pytest

from redflower import progress
from redflower.progress import Counter, TimeLeft


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves on."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("order", ["small pieces first", "large pieces first", "as they come"])
def test_the_time_left_of_unequal_pieces_holds_from_the_first_tenth_on(clock, order) -> None:
    """Pixels of a map: some have twenty stars, some a thousand; a piece takes what its work says, give or take a third."""
    rng = np.random.default_rng(3)
    work = 100.0 + rng.integers(20, 1000, 200)
    work = {
        "small pieces first": np.sort(work),
        "large pieces first": np.sort(work)[::-1],
        "as they come": work,
    }[order]
    takes_s = 0.009 * work * rng.uniform(0.67, 1.33, len(work))
    left = TimeLeft(float(work.sum()))
    for k, (one, seconds) in enumerate(zip(work, takes_s, strict=True)):
        clock[0] += seconds
        said = left.after(one)
        still = takes_s[k + 1 :].sum()
        if takes_s[: k + 1].sum() > 0.1 * takes_s.sum() and still > 0:
            assert 0.5 < said / still < 2.0


def test_the_first_piece_may_compile_and_counts_for_nothing(clock) -> None:
    left = TimeLeft(10.0, compiles=True)
    clock[0] += 60.0
    assert left.after(1.0) is None
    for n_done in range(2, 10):
        clock[0] += 2.0
        assert left.after(1.0) == pytest.approx(2.0 * (10 - n_done))
    left.expect(4.0)
    clock[0] += 2.0
    assert left.after(1.0) == pytest.approx(6.0)


def test_what_an_earlier_run_has_done_is_no_speed(clock, capsys) -> None:
    """A download that goes on: eighty of a hundred tiles are there at once, each other takes five seconds."""
    with Counter("tiles", 100) as call:
        call(80)
        for n_done in range(81, 101):
            clock[0] += 5.0
            call(n_done)
    said = capsys.readouterr().err
    assert "tiles: 83 of 100 in 15 s, 0.2/s, 85 s left" in said
    assert "tiles: 100 of 100" in said


def test_the_end_is_said_once(clock, capsys) -> None:
    with Counter("stars", 3) as call:
        call(1)
        call(3)
        call(3)
    assert capsys.readouterr().err.count("stars: 3 of 3") == 1
