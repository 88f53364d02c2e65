"""A finished fit of a sightline, read from the folder that `redflower sightline` wrote."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redflower.catalogue import read_table
from redflower.errors import InputError
from redflower.files import read_json
from redflower.products.sightline import SightlineResult
from redflower.sightline.fit_draws import SightlineDraws, gather_draws

#: Draws are saved as they were: rounding by another program's format is let pass.
_ROUNDING: Final = 1e-6
_NUMBERS: Final = "clouds.json"


@dataclass(frozen=True)
class FinishedFit:
    """What a combination of fits needs of each.

    Attributes
    ----------
    name : what it is called: that of its folder.
    numbers : the content of ``clouds.json``.
    draws : of its clouds, of all numbers of clouds.
    source_id : of the stars that entered the fit.
    place_deg : Galactic longitude and latitude; None where the stars have no positions. [deg]
    n_stars : that entered the fit.
    """

    name: str
    numbers: dict[str, Any]
    draws: SightlineDraws
    source_id: np.ndarray
    place_deg: tuple[float, float] | None
    n_stars: int


def finished_fit(source: "SightlineResult | str | Path", name: str) -> FinishedFit:
    """Take a finished fit from what `redflower.sightline` returned, or from the folder of `redflower sightline`.

    Parameters
    ----------
    source : the result, or the folder's path.
    name : what it is called.

    Raises
    ------
    InputError
        If the folder holds no fit of a sightline, lacks its draws, or was changed by another program.
    """
    if isinstance(source, SightlineResult):
        numbers, draws, stars = source.summary, source.draws, source.stars
    else:
        numbers, draws, stars = _read(Path(source))
    try:
        gathered = _gathered(numbers, draws)
        used = np.asarray(stars["in_fit"]).astype(bool)
        place = [numbers[key] for key in ("l_deg", "b_deg")]
        return FinishedFit(
            name=name,
            numbers=numbers,
            draws=gathered,
            source_id=np.asarray(stars["source_id"])[used],
            place_deg=None if None in place else (float(place[0]), float(place[1])),
            n_stars=int(numbers["n_stars"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(
            f"the fit {name} must hold what `redflower sightline` wrote; another program changed its numbers, draws or stars. "
            "Fit the sightline again."
        ) from problem


def _read(folder: Path) -> tuple[dict[str, Any], Table, Table]:
    """Read the numbers, the draws and the stars of a folder."""
    numbers = read_json(folder / _NUMBERS)
    if not isinstance(numbers, dict):
        raise InputError(
            f"{folder} must be a folder that `redflower sightline` wrote, with its {_NUMBERS}; it has none that can be read. "
            "Fit that cone first (`redflower sightline POSTERIORS OUT`), and give its OUT."
        )
    for name in ("draws.parquet", "stars.parquet"):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} must hold {name}, as `redflower sightline` writes it, for its draws are weighted anew; it is not "
                "there. Fit the sightline again."
            )
    return numbers, read_table(folder / "draws.parquet"), read_table(folder / "stars.parquet")


def _gathered(numbers: dict[str, Any], draws: Table) -> SightlineDraws:
    """Gather the draws of a fit, each number of clouds with its probability."""
    probability = [float(numbers["probability"][str(n)]) for n in range(len(numbers["probability"]))]
    near, far = (float(value) for value in numbers["searched_pc"])
    if not (all(0.0 <= p <= 1.0 for p in probability) and math.isclose(sum(probability), 1.0, rel_tol=1e-6)):
        raise ValueError("probabilities")
    if not 0.0 < near < far < math.inf:
        raise ValueError("searched_pc")
    places, heights = [np.zeros((1, 0))], [np.zeros((1, 0))]
    for number in range(1, len(probability)):
        rows = draws[np.asarray(draws["n_clouds"]) == number]
        order = np.lexsort((np.asarray(rows["cloud"]), np.asarray(rows["draw"])))
        distance, ebv = (
            np.asarray(rows[name], dtype=float)[order].reshape(-1, number) for name in ("distance", "ebv")
        )
        same = (np.asarray(rows["cloud"])[order].reshape(-1, number) == np.arange(1, number + 1)).all()
        inside = (distance >= near * (1.0 - _ROUNDING)) & (distance <= far * (1.0 + _ROUNDING))
        if not (len(distance) and same and inside.all() and (ebv > 0).all()):
            raise ValueError("draws")
        places.append(distance)
        heights.append(ebv)
    return gather_draws(probability, places, heights, (near, far))
