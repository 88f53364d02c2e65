"""`redflower` by its commands, as a user types them: what benchmarks of whole runs share."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

PROGRAM = [sys.executable, "-c", "from redflower.cli import main; main()"]


def command(
    folder: Path,
    *words: str,
    accepted: Collection[int] = (0, 1),
    watch: "Callable[[subprocess.Popen[bytes]], None] | None" = None,
) -> float:
    """Run one command in a folder, and return its processor time; stop with what it said if it fails. [min]

    Parameters
    ----------
    folder : in which names of files count, and which keeps what the command says in ``said.txt``.
    words : of the command, without ``redflower``.
    accepted : exit codes. Defaults to that of success, and 1, which is said where some stars could not be treated.
    watch : what looks at the process, in a thread, until it ends.
    """
    with (folder / "said.txt").open("ab") as said:
        said.write(f"\n$ redflower {' '.join(words)}\n".encode())
        said.flush()
        process = subprocess.Popen([*PROGRAM, *words], cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        watcher = threading.Thread(target=watch or (lambda process: None), args=(process,), daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    watcher.join()
    if process.returncode not in accepted:
        raise SystemExit((folder / "said.txt").read_text("utf-8", "replace")[-3000:])
    return (usage.ru_utime + usage.ru_stime) / 60.0


def timed(folder: Path, *words: str, accepted: Collection[int] = (0, 1)) -> tuple[float, float]:
    """Run one command as `command` does; return its wall time and its processor time. [s]"""
    began = time.monotonic()
    minutes = command(folder, *words, accepted=accepted)
    return time.monotonic() - began, 60.0 * minutes


def compile_anew(folder: Path) -> None:
    """Let the commands to come keep compiled programs in an empty folder, compiled as a user's are."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder / "compiled")
    os.environ.pop("XLA_FLAGS", None)


def commands_of(folder: Path, commands: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Run the commands whose files are not there yet, and return the processor time of each, of before too. [min]

    Parameters
    ----------
    folder : in which they run; ``minutes.json`` keeps what each took.
    commands : the file or folder that each makes, and its words.
    """
    kept = folder / "minutes.json"
    minutes: dict[str, float] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for target, words in commands.items():
        if not (folder / target).exists():
            minutes[target] = command(folder, *words)
            kept.write_text(json.dumps(minutes), "utf-8")
    return {words[0]: minutes.get(target, float("nan")) for target, words in commands.items()}
