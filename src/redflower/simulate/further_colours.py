"""Colours of further bands of the simulated stars: AllWISE, SDSS, SkyMapper and the bands of BP/RP spectra.

Two files have them, each fitted to real stars: ``further_colours.json`` by ``scripts/fit_further_colours.py``, and
``spectral_colours.json`` by ``scripts/fit_spectral_colours.py``.
"""

import json
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from redflower.bands import N_BANDS, BandSet
from redflower.errors import InputError

FILES: Final = ("further_colours.json", "spectral_colours.json")


@cache
def further_coefficients(file: str) -> dict[str, Any]:
    """Read one of `FILES`, once."""
    return json.loads((resources.files("redflower") / "data" / file).read_text(encoding="utf-8"))


def with_further(content: dict[str, Any], name: str, bands: BandSet) -> dict[str, Any]:
    """Return the coefficients of a population with those of further bands.

    Parameters
    ----------
    content : coefficients of the standard bands.
    name : of the population.
    bands : the standard ones, and perhaps further ones.

    Raises
    ------
    InputError
        If there are none of one of the bands.
    """
    if len(bands) == N_BANDS:
        return content
    wanted = [band.label for band in bands.bands[N_BANDS:]]
    known = [further_coefficients(file)[name] for file in FILES]
    lacking = [label for label in wanted if not any(label in one["bands"] for one in known)]
    if lacking:
        raise InputError(
            f"simulate: the colours of {', '.join(lacking)} are not known, in which no real stars were at hand; {name} has those "
            f"of {', '.join(label for one in known for label in one['bands'])}."
        )
    classes = {
        kind: {**entry, "colours": {**entry["colours"], **_colours_of(known, kind)}}
        for kind, entry in content["classes"].items()
    }
    factors = []
    for i, own in enumerate(content["scatter"]["factor_mag"]):
        square = np.zeros((len(bands), len(bands)))
        square[:N_BANDS, :N_BANDS] = own
        for one in known:
            labels = [label for label in wanted if label in one["bands"]]
            if labels:
                places = [N_BANDS + wanted.index(label) for label in labels]
                rows = scatter_rows(np.array(one["scatter"]["factor_mag"][i]), one["bands"], labels)
                square[np.ix_(places, range(N_BANDS))] = rows[:, :N_BANDS]
                square[np.ix_(places, places)] = rows[:, N_BANDS:]
        factors.append(square)
    return {**content, "classes": classes, "scatter": {**content["scatter"], "factor_mag": factors}}


def scatter_rows(
    rows: Float[np.ndarray, "known factor"], known: list[str], wanted: list[str]
) -> Float[np.ndarray, "wanted smaller"]:
    """Return the rows of some bands of a scatter's factor, with as many columns of their own as there are bands.

    Parameters
    ----------
    rows : of all bands of a file: what they share with the standard bands, then what is their own.
    known, wanted : labels of all bands, and of those that are kept.
    """
    if wanted == known:
        return rows
    places = [known.index(label) for label in wanted]
    own = rows[places, N_BANDS:]
    return np.concatenate([rows[places, :N_BANDS], np.linalg.cholesky(own @ own.T)], axis=1)


def _colours_of(known: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return {label: term for one in known for label, term in one["classes"][kind]["colours"].items()}
