"""Chains side by side: all are done, all is told, and what fails or is stopped stops the others."""

import threading
import time

import pytest

from redflower.field.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    """Whatever this machine has."""
    monkeypatch.setattr("redflower.field.side_by_side.cores", lambda: 2)


def test_every_chain_is_done_at_the_same_time_and_everything_is_told_in_the_callers_thread() -> None:
    """Each waits for the other half-way, which one after another would never end."""
    meet, told, where, found = threading.Barrier(2, timeout=20.0), [], set(), {}

    def work(chain, tell) -> None:
        tell(0)
        tell(3)
        meet.wait()
        found[chain] = 2 * chain
        tell(4)

    def tell(n) -> None:
        told.append(n)
        where.add(threading.current_thread())

    side_by_side(work, [1, 2], tell)
    assert found == {1: 2, 2: 4}
    assert sorted(told) == [3, 3, 4, 4]
    assert where == {threading.current_thread()}


def endless(chain, tell) -> None:
    for _ in range(10_000):
        tell(1)
        time.sleep(0.005)


def test_a_chain_that_fails_stops_the_others_and_its_error_comes_out() -> None:
    """The other would go on for a minute."""
    began = time.monotonic()

    def work(chain, tell) -> None:
        if chain == 2:
            raise ArithmeticError("of the second")
        endless(chain, tell)

    with pytest.raises(ArithmeticError, match="of the second"):
        side_by_side(work, [1, 2], lambda n: None)
    assert time.monotonic() - began < 20.0


def test_an_interruption_ends_all_of_them() -> None:
    began = time.monotonic()

    def tell(n) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(endless, [1, 2], tell)
    assert time.monotonic() - began < 20.0
