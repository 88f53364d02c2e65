"""The folder of a run: what is finished in it, and whether an earlier run of the same stars may go on."""

import json
from pathlib import Path
from typing import Any, Final

from astropy.table import Table

from redflower.catalogue import write_table
from redflower.errors import InputError
from redflower.files import check_new_folder, file_sha256, read_json, written_whole
from redflower.products.run import CLOUDS, CUTS, LEFT_OUT, STARS
from redflower.provenance import VERSION

#: What the run was asked: by it a resumed run knows its own.
REQUEST: Final = "request.json"
FORMAT: Final = "redflower-run-1"
#: What may be there of a run that was stopped before its request was written.
_EARLY: Final = {STARS, CUTS, LEFT_OUT}


class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    path : of the folder, which may not be there yet.
    resume : whether to go on with an earlier run in it.

    Raises
    ------
    InputError : it holds another run, or something else, or cannot be made.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path, self._earlier = path, None
        there = {one.name for one in path.iterdir()} if path.is_dir() else set()
        if REQUEST in there:
            if not resume:
                raise InputError(
                    f"{path} exists already and is not empty: it holds a run. Go on with it by --resume (resume=True), or "
                    "choose another name."
                )
            self._earlier = _read(path / REQUEST)
        elif not there or not there <= _EARLY:
            check_new_folder(path)

    def start(self, stars: Table, asked: dict[str, Any]) -> None:
        """Write the prepared stars and what is asked; or see that an earlier run has just these.

        Parameters
        ----------
        stars : prepared.
        asked : what else the results depend on, as JSON has it.

        Raises
        ------
        InputError : the earlier run has other stars, or was asked something else.
        """
        self.path.mkdir(exist_ok=True)
        new = self.path / f".again-{STARS}"
        try:
            write_table(stars, new, overwrite=True)
            asked = {"format": FORMAT, "redflower": VERSION, "stars_sha256": file_sha256(new), **asked}
            if self._earlier is None:
                new.replace(self.path / STARS)
                with written_whole(self.path / REQUEST) as part:
                    part.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
                return
        finally:
            new.unlink(missing_ok=True)
        other = [name for name, value in asked.items() if self._earlier.get(name) != value]
        if other:
            raise InputError(
                f"--resume: the run in {self.path} differs from what is asked now in {', '.join(other)} (see {REQUEST}; "
                "stars_sha256 is of the prepared stars). Give the table and the options of that run, or another folder."
            )
        if not (self.path / STARS).is_file() or file_sha256(self.path / STARS) != asked["stars_sha256"]:
            raise InputError(
                f"--resume: {self.path / STARS} has changed since the run began. Run again into another folder."
            )

    def has(self, name: str) -> bool:
        """Return whether a file was finished: each is written whole or not at all."""
        return self._earlier is not None and (self.path / name).is_file()

    def has_clouds(self) -> bool:
        """Return whether the clouds were finished; half a folder of clouds is removed."""
        folder = self.path / CLOUDS
        if self._earlier is None or not folder.is_dir():
            return False
        if (folder / "report.html").is_file():
            return True
        for path in folder.iterdir():  # flat: `write_sightline` makes no folders in it
            path.unlink()
        folder.rmdir()
        return False

    @staticmethod
    def clouds_of(path: Path) -> dict[str, Any] | None:
        """Return the numbers of the clouds of a run; None if it has none.

        Raises
        ------
        InputError : their file is damaged.
        """
        numbers = path / CLOUDS / "clouds.json"
        return _read(numbers, "the numbers of clouds") if numbers.is_file() else None


def _read(path: Path, what: str = "what a run was asked") -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(
            f"--resume: {path} is damaged: it does not hold {what}. Run again into another folder."
        )
    return content
