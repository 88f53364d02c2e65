"""The manifest of a download: what was asked, and each tile with its rows and checksum, kept whole at every moment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redflower.errors import FetchError, InputError
from redflower.files import file_sha256, written_whole

MANIFEST_VERSION: Final = 1
DONE, EMPTY, SPLIT, FAILED = "done", "empty", "split", "failed"


class Manifest:
    """The state of a download, written anew after every tile.

    Parameters
    ----------
    folder : holds the manifest and the tiles.
    request : what is asked; an existing manifest must have the same.

    Raises
    ------
    InputError
        If the folder holds a download of something else, or a damaged manifest.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any]) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"
        self._request = dict(request)
        self._tiles: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            self._load()
        else:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as problem:
                raise InputError(f"folder {folder} cannot be made: {problem.strerror or problem}.") from None
            self._write()

    @property
    def request(self) -> dict[str, Any]:
        """What is asked."""
        return dict(self._request)

    def file(self, name: str) -> Path:
        """Return the file of a tile."""
        return self.folder / f"tile-{name}.parquet"

    def is_finished(self, name: str) -> bool:
        """Return whether a tile was finished, without a look at its file."""
        return self._tiles.get(name, {}).get("state") in (DONE, EMPTY)

    def rows(self, name: str) -> int | None:
        """Return the rows of a finished tile whose file is whole; None for a tile that has yet to be fetched."""
        tile = self._tiles.get(name)
        if tile is not None and tile["state"] == EMPTY:
            return 0
        if tile is None or tile["state"] != DONE:
            return None
        path = self.file(name)
        if not path.exists() or file_sha256(path) != tile["sha256"]:
            return None
        return int(tile["rows"])

    def is_split(self, name: str) -> bool:
        """Tell whether a tile was found too large and is fetched in parts."""
        return self._tiles.get(name, {}).get("state") == SPLIT

    def finish(self, name: str, rows: int, notes: list[str]) -> None:
        """Record a tile whose file is written."""
        path = self.file(name)
        self._tiles[name] = {
            "state": DONE, "rows": rows, "bytes": path.stat().st_size, "sha256": file_sha256(path), "notes": notes,
        }  # fmt: skip
        self._write()

    def empty(self, name: str) -> None:
        """Record a tile that holds no star and has no file."""
        self._tiles[name] = {"state": EMPTY}
        self._write()

    def split(self, name: str) -> None:
        """Record that a tile is fetched in parts."""
        self._tiles[name] = {"state": SPLIT}
        self._write()

    def fail(self, name: str, reason: str) -> None:
        """Record why a tile could not be had; the next run tries it again."""
        self._tiles[name] = {"state": FAILED, "reason": reason}
        self._write()

    def notes(self) -> list[str]:
        """Return the notes on all tiles."""
        return [
            f"tile {name}: {note}" for name, tile in self._tiles.items() for note in tile.get("notes", ())
        ]

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each finished tile."""
        return {name: tile["sha256"] for name, tile in sorted(self._tiles.items()) if tile["state"] == DONE}

    def _load(self) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            version, request, tiles = content["version"], content["request"], content["tiles"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                f"{self.path} is damaged. Remove the folder {self.folder} and fetch again."
            ) from None
        if version != MANIFEST_VERSION:
            raise InputError(f"{self.path} is of version {version}; this redflower reads {MANIFEST_VERSION}.")
        if request != json.loads(json.dumps(self._request)):
            if not any(tile.get("state") == DONE for tile in tiles.values()):  # nothing of it is there
                self._write()
                return
            differing = sorted(
                key for key in {*request, *self._request} if request.get(key) != self._request.get(key)
            )
            raise InputError(
                f"{self.folder} holds the download of another request (it differs in {', '.join(differing)}). Ask for "
                "the same again to resume it, choose another OUT, or remove the folder."
            )
        self._tiles = tiles

    def _write(self) -> None:
        content = {"version": MANIFEST_VERSION, "request": self._request, "tiles": self._tiles}
        try:
            with written_whole(self.path) as part:
                part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        except OSError as problem:
            raise FetchError(f"{self.path} cannot be written: {problem.strerror or problem}.") from None


def tiles_kept(out: Path) -> tuple[int, int, Path]:
    """Return how many tiles of a download are finished, how many stars they hold, and their folder.

    Parameters
    ----------
    out : the table that the download is to become.
    """
    folder = out.with_name(f"{out.name}.tiles")
    try:
        tiles = json.loads((folder / "manifest.json").read_text("utf-8"))["tiles"].values()
        done = [int(tile.get("rows", 0)) for tile in tiles if tile["state"] in (DONE, EMPTY)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, 0, folder
    return len(done), sum(done), folder
