"""Finished pieces of long work, kept beside its output so that a stopped run can go on."""

import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np

from redflower.errors import InputError
from redflower.files import is_there, read_json, written_whole
from redflower.progress import say

REQUESTS: Final = "requests.json"
FORMAT: Final = "redflower-pieces-1"
_DIGITS: Final = 6
#: Pieces are written when this has passed since the last were. [s]
_EVERY_S: Final = 10.0


class KeptPieces:
    """The finished pieces of a run, in a folder of their own: written every ten seconds, and when the block ends.

    Parameters
    ----------
    folder : where they are kept; made when the first work begins.
    verb : the command, as messages call it.
    resume : whether to go on with what is there.

    Raises
    ------
    InputError : the folder holds the pieces of a stopped run and ``resume`` is not asked for, or other files.
    """

    def __init__(self, folder: Path, verb: str, *, resume: bool) -> None:
        self.folder, self._verb = folder, verb
        self._asked: dict[str, Any] = {}
        self._pieces: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        self._waiting: dict[tuple[str, str], Mapping[str, np.ndarray]] = {}
        self._last_s, self._n_blocks, self.n_kept = time.monotonic(), 0, 0
        if not is_there(folder):
            return
        content = read_json(folder / REQUESTS)
        asked = (
            content.get("asked") if isinstance(content, dict) and content.get("format") == FORMAT else None
        )
        if not isinstance(asked, dict) or not all(isinstance(one, dict) for one in asked.values()):
            raise InputError(
                f"{verb}: {folder}, where finished work would be kept, holds other files. Give the output another name."
            )
        if not resume:
            raise InputError(
                f"{verb}: {folder} holds the finished work of a stopped run. Go on with it by --resume, or remove the folder."
            )
        self._asked = asked
        for path in sorted(folder.glob(f"block-{'[0-9]' * _DIGITS}.npz")):
            self._n_blocks = max(self._n_blocks, int(path.stem.split("-")[1]) + 1)
            self._pieces |= self._read(path)
        self.n_kept = len(self._pieces)

    def begin(self, name: str, request: Mapping[str, Any]) -> None:
        """Say what a work is, so that no piece of another is taken for one of it.

        Parameters
        ----------
        name : of the work.
        request : all that its pieces depend on, as JSON has it.

        Raises
        ------
        InputError : the pieces that are there are of another request.
        """
        request = json.loads(json.dumps(request))
        known = self._asked.get(name)
        if known is not None and known != request:
            other = ", ".join(sorted(key for key in request if known.get(key) != request[key]))
            raise InputError(
                f"{self._verb} --resume: the finished work in {self.folder} differs from what is asked now in {other}. Resume "
                "with the same arguments, or remove the folder."
            )
        self._asked[name] = request
        self.folder.mkdir(exist_ok=True)
        with written_whole(self.folder / REQUESTS) as part:
            part.write_text(json.dumps({"format": FORMAT, "asked": self._asked}, indent=1), "utf-8")

    def get(self, name: str, key: object, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Return a piece that is finished; None where it is not, or where what was kept is no such piece.

        Parameters
        ----------
        name, key : of the work, and of the piece.
        like : arrays of the names, shapes and kinds of number that a piece has.
        """
        piece = self._pieces.get((name, str(key)))
        if piece is None or _kinds(piece) == _kinds(like):
            return piece
        self.forget(name, key)
        return None

    def forget(self, name: str, key: object) -> None:
        """Forget a piece that holds what it cannot, and say so."""
        say(f"{self.folder}: what was kept of {name}, piece {key}, is damaged; it is done again.")
        del self._pieces[name, str(key)]
        self.n_kept -= 1

    def put(self, name: str, key: object, piece: Mapping[str, np.ndarray]) -> None:
        """Keep a finished piece."""
        self._waiting[name, str(key)] = piece
        if time.monotonic() - self._last_s > _EVERY_S:
            self._write()

    def remove(self) -> None:
        """Remove the folder: all that it held is in the output."""
        self._waiting = {}
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "KeptPieces":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting:
            self._write()
        if kind is not None and not self.n_kept:
            self.remove()

    def _write(self) -> None:
        """Write what waits into a block of its own."""
        arrays = {
            json.dumps([name, key, column]): np.asarray(values)
            for (name, key), piece in self._waiting.items()
            for column, values in piece.items()
        }
        with written_whole(self.folder / f"block-{self._n_blocks:0{_DIGITS}d}.npz") as part:
            np.savez(part, allow_pickle=False, **arrays)
        self.n_kept += len(self._waiting)
        self._n_blocks += 1
        self._waiting, self._last_s = {}, time.monotonic()

    def _read(self, path: Path) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        """Return the pieces of a block; none, with a word, of one that is damaged."""
        found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        try:
            # A block is not packed tighter, so that it is no larger in memory than on disk.
            with zipfile.ZipFile(path) as packed:
                if any(one.compress_type != zipfile.ZIP_STORED for one in packed.infolist()):
                    raise ValueError(path)
            with np.load(path, allow_pickle=False) as arrays:
                for said in arrays.files:
                    name, key, column = json.loads(said)
                    found.setdefault((str(name), str(key)), {})[str(column)] = arrays[said]
        # Whatever zipfile and numpy raise of a damaged file, or of sizes that do not fit in memory.
        except Exception:
            say(f"{path} is damaged; what it held is done again.")
            path.unlink(missing_ok=True)
            return {}
        return found


def _kinds(piece: Mapping[str, np.ndarray]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (values.shape, values.dtype.kind) for name, values in piece.items()}


def checksum(arrays: Iterable[Any]) -> str:
    """Return the SHA-256 of arrays, as hexadecimal digits; None among them counts as absent."""
    total = hashlib.sha256()
    for one in arrays:
        if one is None:
            total.update(b"none")
            continue
        values = np.ascontiguousarray(one)
        total.update(f"{values.dtype.str}{values.shape}".encode())
        total.update(values.tobytes())
    return total.hexdigest()
