"""What workers of tests do: small, without JAX, and with faults to order."""

import os
import signal
import sys
import time
from pathlib import Path


def start(factor: int, folder: str = ""):
    """Multiply; or do what the task says instead, as often as it says, counted in a folder that the workers share."""
    print("a worker prints at its start")  # noqa: T201

    def work(task, tell):
        number, fault, times = task
        if times:
            tries = len(list(Path(folder).glob(f"{number}-*")))
            (Path(folder) / f"{number}-{tries}").touch()
            if tries < times:
                fault_to_order(fault)
        tell(number)
        return factor * number

    return work


def fault_to_order(fault: str) -> None:
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "memory":
        raise MemoryError("no room")
    elif fault == "refuse":
        from redflower.errors import InputError

        raise InputError("the request is wrong")
    elif fault == "sleep":
        time.sleep(60)


def start_badly():
    sys.exit(3)


def start_what_imports():
    """Tell what the worker has imported, its limits and its environment."""

    def work(names, tell):
        return sorted({name.split(".")[0] for name in sys.modules}), {n: os.environ.get(n) for n in names}

    return work
