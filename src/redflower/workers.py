"""Work shared by processes: tasks handed to workers that start afresh, and what becomes of a task whose worker ends.

A worker is an interpreter of its own, which imports nothing of the user's program: no `if __name__ == "__main__"` is needed,
and nothing is forked from a process in which JAX runs. What is sent to it, and what comes back, goes through pipes that only
the two of them hold. A worker ends with its parent, whatever becomes of that.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, TypeAlias

from redflower.errors import RedflowerError, WorkerError

#: What a worker does with a task: it is given what was sent, and a function that sends word of how far it is.
Work: TypeAlias = Callable[[Any, Callable[[Any], None]], Any]

#: A task is tried so often.
TRIES: Final = 2
#: So many workers in a row may end before they are ready; then the cause is not theirs.
_STARTS: Final = 3
#: Seconds that a worker without work is given to end by itself.
_PATIENCE_S: Final = 5.0
_COMMAND: Final = "from redflower.workers import serve; serve()"


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes
    ----------
    key : of the task.
    value : what the work returned; None where it failed.
    problem : why it failed, the second time too; None where it did not.
    """

    key: Any
    value: Any = None
    problem: str | None = None


@dataclass
class _Task:
    key: Any
    payload: Any
    tries: int = 0


class Workers:
    """Processes that do tasks, until the block that they are used in ends.

    Parameters
    ----------
    start : a function of a module, called once in every worker with ``arguments``; it returns the work.
    arguments : for it; they are pickled.
    n_workers : number of processes.
    environment : of the workers. Defaults to that of this process.
    log_level : of redflower's messages in the workers.
    """

    def __init__(
        self,
        start: Callable[..., Work],
        arguments: tuple[Any, ...],
        n_workers: int,
        *,
        environment: dict[str, str] | None = None,
        log_level: int | None = None,
    ) -> None:
        self._hello = pickle.dumps((start, arguments, log_level), protocol=pickle.HIGHEST_PROTOCOL)
        self._environment = dict(os.environ if environment is None else environment)
        # Modules are found where this process finds them; the current folder is no such place (-P).
        self._environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._events: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
        self._failed_starts = 0
        self.peak_bytes = 0
        self._workers = [self._new() for _ in range(n_workers)]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end(at_once=kind is not None)
        for worker in self._workers:
            worker.wait()

    @property
    def process_ids(self) -> list[int]:
        """The processes that are there now."""
        return [worker.process.pid for worker in self._workers]

    def run(
        self, tasks: Iterable[tuple[Any, Any]], told: Callable[[Any, Any], None] | None = None
    ) -> Iterator[Outcome]:
        """Do tasks, and yield what became of each, in the order in which they end.

        A task that raises an error, or whose worker ends, is tried once more, by whichever worker is free.

        Parameters
        ----------
        tasks : keys, and what is sent to the worker; taken one by one as workers become free.
        told : called with the key of a task and the word that its work sends.

        Raises
        ------
        RedflowerError : a task raised one: what the user asked for is wrong.
        WorkerError : no worker can be started.
        """
        waiting = iter(tasks)
        again: deque[_Task] = deque()
        exhausted = False
        while True:
            for worker in self._workers:
                if worker.ready and worker.task is None and not (exhausted and not again):
                    task = again.popleft() if again else None
                    if task is None:
                        one = next(waiting, None)
                        if one is None:
                            exhausted = True
                            break
                        task = _Task(*one)
                    worker.give(task)
            if exhausted and not again and all(worker.task is None for worker in self._workers):
                return
            worker, message = self._events.get()
            if worker not in self._workers:
                continue
            if message is None:
                task, problem = worker.task, self._replace(worker)
            elif message[0] == "ready":
                self._failed_starts, worker.ready = 0, True
                continue
            elif message[0] == "told":
                if told is not None and worker.task is not None:
                    told(worker.task.key, message[1])
                continue
            else:
                kind, value, peak = message
                self.peak_bytes = max(self.peak_bytes, peak)
                task, worker.task = worker.task, None
                if kind == "refused":
                    raise value
                if kind == "done" and task is not None:
                    yield Outcome(task.key, value)
                    continue
                problem = value
            if task is None:
                continue
            task.tries += 1
            if task.tries < TRIES:
                again.append(task)
            else:
                yield Outcome(task.key, problem=problem)

    def _new(self) -> "_Worker":
        return _Worker(self._hello, self._environment, self._events)

    def _replace(self, ended: "_Worker") -> str:
        """Start a worker in the place of one that has ended; return how it ended."""
        problem = ended.how_it_ended()
        if not ended.ready:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                raise WorkerError(
                    f"worker processes cannot be started: {_STARTS} in a row ended before they were ready, the last "
                    f"{problem}. What they wrote is above. --workers 1 does all in one process."
                )
        self._workers[self._workers.index(ended)] = self._new()
        return f"its process was ended: {problem}"


@dataclass(eq=False)
class _Worker:
    """A process, and the task that it has."""

    hello: bytes
    environment: dict[str, str]
    events: "queue.SimpleQueue[tuple[_Worker, Any]]"
    task: _Task | None = None
    ready: bool = False
    process: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment,
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()
        self._send(self.hello)

    def give(self, task: _Task) -> None:
        """Send a task."""
        self.task = task
        self._send(pickle.dumps(task.payload, protocol=pickle.HIGHEST_PROTOCOL))

    def end(self, *, at_once: bool) -> None:
        """Let it end: at once, or as soon as it sees that no more comes."""
        if at_once:
            self.process.kill()
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]

    def wait(self) -> None:
        """Wait until it has ended."""
        try:
            self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def how_it_ended(self) -> str:
        """Say how it ended, in a few words."""
        self.wait()
        code = self.process.returncode
        if code >= 0:
            return f"with exit code {code}"
        name = signal.Signals(-code).name
        why = ", as the system does where memory is short" if name == "SIGKILL" else ""
        return f"by {name}{why}"

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # it has ended, which its listener tells
            self.process.stdin.write(message)  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]

    def _listen(self) -> None:
        try:
            while True:
                self.events.put((self, pickle.load(self.process.stdout)))  # type: ignore[arg-type]
        except Exception:  # the pipe has ended, in the middle of a message where the worker was killed
            self.events.put((self, None))


def serve() -> None:
    """Do the tasks that come through stdin, as a worker; end when there come no more, for then the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed must not get among the replies
    lock = threading.Lock()

    def reply(*message: Any) -> None:
        packed = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with lock:
            replies.write(packed)
            replies.flush()

    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(inbox,), daemon=True).start()
    start, arguments, log_level = inbox.get()
    if log_level is not None:
        import logging

        logging.getLogger("redflower").setLevel(log_level)
    work = start(*arguments)
    reply("ready")
    while True:
        payload = inbox.get()
        try:
            value = work(payload, lambda word: reply("told", word))
        except RedflowerError as error:
            reply("refused", error, peak_memory_bytes())
        except Exception as error:
            reply("failed", f"{type(error).__name__}: {error}", peak_memory_bytes())
        else:
            reply("done", value, peak_memory_bytes())
        del payload


def _receive(inbox: "queue.SimpleQueue[Any]") -> None:
    requests = os.fdopen(os.dup(0), "rb")  # of its own: Python would wait for stdin at its end
    try:
        while True:
            inbox.put(pickle.load(requests))
    except EOFError:  # nobody waits for an answer
        os._exit(0)
    except BaseException:  # a task that does not fit in memory, say
        traceback.print_exc()
        os._exit(1)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held; 0 where the system does not tell. [byte]"""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next((1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM")), 0)
    except OSError:
        return 0
