"""What the commands that write a map share."""

from pathlib import Path
from typing import Any

from redflower.errors import InputError


def check_map_output(out: Path, posteriors: Path, what: str, *, overwrite: bool) -> None:
    """Refuse, before any work, a map's path that cannot be written, or whose picture would replace something."""
    from redflower.catalogue import check_writable
    from redflower.files import check_outputs

    if out.suffix != ".fits":
        raise InputError(f"{out}: {what} is written as .fits.")
    check_writable(out, overwrite=overwrite)
    check_outputs(
        {"OUT": out, "the picture": out.with_suffix(".png")},
        {"POSTERIORS": posteriors},
        replaced=("OUT", "the picture") if overwrite else (),
    )


def distances_of(text: str) -> list[float]:
    """Return the distances that a text parts by commas. [pc]"""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--distances {text!r}: give distances in pc with commas, e.g. 300,1000.") from None


def draw_beside(found: Any, out: Path) -> Path:
    """Draw a map into a picture beside its file, and return the picture's path."""
    from redflower.files import written_whole
    from redflower.plot.sky_map import sky_map_figure
    from redflower.plot.style import save_figure

    picture = out.with_suffix(".png")
    with written_whole(picture) as part:
        save_figure(sky_map_figure(found), part, format="png", dpi=200)
    return picture
