"""A process forked from one in which JAX ran: refused at once by everything that computes, where it would wait for ever."""

import subprocess
import sys
import textwrap

import pytest

#: Ran in the parent before the fork, and in the child after it, of which the parent prints what it did.
SCRIPT = """
import os, signal, sys, warnings
import numpy as np
import redflower
from redflower.catalogue.maps.selection import SelectionCounts, build_selection
warnings.simplefilter("ignore")

def made():
    return redflower.simulate(50, seed=1)

def prepared():
    return redflower.prepare(sky, purpose="inference")

def inferred():
    return redflower.infer(table, model)

def selection():
    counts = np.ones((12, 1, 1), int)
    return build_selection(SelectionCounts(counts, counts, np.array([14.0, 15.0]), np.array([0.0, 1.0]), 1))

sky = made()
table = prepared().table
model = redflower.load_model("mock-sky")
reading, writing = os.pipe()
if os.fork() == 0:
    signal.alarm(100)  # ends a child that waits
    try:
        {work}()
        said = "done"
    except redflower.errors.InputError as problem:
        said = str(problem)
    os.write(writing, said.encode())
    os._exit(0)
os.close(writing)
print(os.read(reading, 4096).decode() or "nothing within 100 s")
os.wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked here")
@pytest.mark.parametrize("work", ["made", "inferred", "selection"])
def test_a_forked_child_is_told_to_be_spawned(work: str) -> None:
    text = textwrap.dedent(SCRIPT).replace("{work}", work)
    run = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "get_context('spawn')" in run.stdout


def test_a_child_forked_before_jax_ran_may_compute() -> None:
    text = textwrap.dedent(SCRIPT).replace("{work}", "made")
    begin = text.index("sky = made()")
    text = text[:begin] + text[text.index("reading, writing") :]
    run = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.stdout.strip() == "done", run.stdout + run.stderr
