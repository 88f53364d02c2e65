"""How long a run will take: from what each engine has taken of a star so far, and from how many stars go on to the next."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from redflower.posterior.status import FAST, IMPORTANCE, NUTS
from redflower.progress import Steps

#: What an engine takes of a core for a star, until it has been seen at work: about, and in this ratio. [s]
_FIRST_COSTS_S: Final = {FAST: 1.2e-3, IMPORTANCE: 5e-3, NUTS: 0.15}
#: Stars by which the shares that go on are held near these at first.
_GO_ON: Final = {FAST: 0.22, IMPORTANCE: 0.02}
_HELD_BY: Final = 20.0
_ORDER: Final = (FAST, IMPORTANCE, NUTS)


@dataclass
class _Seen:
    """What was seen of an engine: stars tried, settled, and those of them whose time was taken."""

    n_tried: int = 0
    n_settled: int = 0
    n_timed: int = 0
    seconds: float = 0.0


@dataclass
class Pace:
    """An estimate of the time left that holds: hard stars come at the end of a part, and are counted on from its beginning.

    Parameters
    ----------
    n_stars : that are still to be done.
    engine : with which they begin: ``fast`` or ``nuts``.
    n_workers : processes.
    """

    n_stars: int
    engine: str = FAST
    n_workers: int = 1
    _seen: dict[str, _Seen] = field(default_factory=lambda: {name: _Seen() for name in _ORDER})

    def step(self, engine: str, n_tried: int, n_settled: int, seconds: float | None) -> None:
        """Take up a step of an engine.

        Parameters
        ----------
        engine, n_tried, n_settled : as of `redflower.progress.Steps.step`.
        seconds : that it took; None where programs were compiled too.
        """
        seen = self._seen[engine]
        seen.n_tried += n_tried
        seen.n_settled += n_settled
        if seconds is not None:
            seen.n_timed += n_tried
            seen.seconds += seconds

    def skip(self, n_stars: int) -> None:
        """Take up that some stars want no engine at all."""
        self.n_stars -= n_stars

    def left_s(self) -> float:
        """Return the time left. [s]"""
        expected, total = float(self.n_stars), 0.0
        slower = self._slower()
        for name in _ORDER[_ORDER.index(self.engine if self.engine in _ORDER else FAST) :]:
            seen = self._seen[name]
            to_do = max(expected - seen.n_tried, 0.0)
            cost = seen.seconds / seen.n_timed if seen.n_timed else _FIRST_COSTS_S[name] * slower
            total += to_do * cost
            if name in _GO_ON:
                held = _HELD_BY * _GO_ON[name]
                share = (seen.n_tried - seen.n_settled + held) / (seen.n_tried + _HELD_BY)
                expected = max(expected * share, float(seen.n_tried - seen.n_settled))
        return total / self.n_workers

    def _slower(self) -> float:
        """Return by how much this machine is slower than that of the first costs, by the engines that were seen."""
        seen = [(name, one) for name, one in self._seen.items() if one.n_timed]
        usual = sum(one.n_timed * _FIRST_COSTS_S[name] for name, one in seen)
        return sum(one.seconds for _, one in seen) / usual if usual else 1.0


class TimedSteps(Steps):
    """Sends on what long work tells, with the time of every step.

    Parameters
    ----------
    tell : what a worker sends its words with.
    compiled : engines that this process has used, whose programs are there; it is added to.
    """

    def __init__(self, tell: Callable[[Any], None], compiled: set[str]) -> None:
        self._tell, self._compiled, self._last = tell, compiled, time.monotonic()

    def __call__(self, n_done: int) -> None:
        self._tell(n_done)

    def step(self, engine: str, n_tried: int, n_settled: int) -> None:
        now = time.monotonic()
        seconds = now - self._last if engine in self._compiled else None
        self._last = now
        self._compiled.add(engine)
        self._tell((engine, n_tried, n_settled, seconds))
