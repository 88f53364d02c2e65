"""What a whole run leaves: tables and one page, drawn from what was saved."""

import json
from pathlib import Path
from typing import Any, Final

from redflower.catalogue import read_table
from redflower.errors import InputError
from redflower.files import read_json, written_whole
from redflower.plot.sky_map import sky_map_figure
from redflower.plot.style import save_figure
from redflower.products.page import write_page
from redflower.products.page_run import run_page
from redflower.products.photometry import add_photometry
from redflower.products.skymap import read_sky_map

#: The files of a run's folder.
NUMBERS: Final = "run.json"
PAGE: Final = "index.html"
STARS: Final = "stars.parquet"
CUTS: Final = "cuts.json"
LEFT_OUT: Final = "left_out.parquet"
POSTERIORS: Final = "posteriors.parquet"
BINS: Final = "bins.ecsv"
CLOUDS: Final = "clouds"
MAP: Final = "sky.fits"
#: What the figures need of the posteriors.
DRAWN_COLUMNS: Final = (
    "source_id",
    "l",
    "b",
    "ebv_mean",
    "ebv_std",
    "distance_mean",
    "distance_std",
    "status",
    "flags",
)


def write_run(folder: Path, numbers: dict[str, Any]) -> None:
    """Write the numbers of a run whose tables are there, then its page."""
    with written_whole(folder / NUMBERS) as part:
        part.write_text(json.dumps(numbers, indent=1, default=str) + "\n", encoding="utf-8")
    draw_run(folder)


def draw_run(folder: Path) -> list[Path]:
    """Draw the page of a run and its first figure again, from what was saved.

    Raises
    ------
    InputError
        If the folder does not hold all that a run leaves.
    """
    numbers = read_json(folder / NUMBERS)
    if not isinstance(numbers, dict):
        raise InputError(
            f"{folder / NUMBERS} is damaged: it does not hold the numbers of a run. Run again into another folder."
        )
    posteriors = read_table(folder / POSTERIORS, columns=list(DRAWN_COLUMNS))
    add_photometry(posteriors, read_table(folder / STARS))
    page = run_page(numbers, posteriors=posteriors, bins=read_table(folder / BINS))
    figures = page.pop("figures")
    if (folder / MAP).is_file():
        figures["map"] = (
            "Mean E(B-V) out to the distances of the map, in pixels that have enough stars. Pixels are fitted one by one: "
            "neighbours can jump.",
            sky_map_figure(read_sky_map(folder / MAP)),
        )
    first = folder / "reddening-distance.png"
    with written_whole(first) as part:
        save_figure(figures["reddening-distance"][1], part, format="png", dpi=200)
    write_page(folder / PAGE, figures=list(figures.values()), provenance=numbers["provenance"], **page)
    return [first, folder / PAGE]
