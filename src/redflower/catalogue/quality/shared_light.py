"""Bands that are made of the same light: the photons of a star count once."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from redflower.band import BandSet
from redflower.surveys import Survey


def drop_shared_light(
    magnitude_mag: Float[np.ndarray, "star band"],
    error_mag: Float[np.ndarray, "star band"],
    bands: BandSet,
    surveys: Iterable[Survey],
) -> list[str]:
    """Set bands missing, in place, where a star has bands of a survey that replaces them; return what was done in words.

    Parameters
    ----------
    magnitude_mag, error_mag : NaN where a band is missing. [mag]
    bands : in their order.
    surveys : whose bands were read.
    """
    notes = []
    for survey in surveys:
        own = [i for i, band in enumerate(bands) if band.survey == survey.survey]
        replaced = [bands.index[name] for name in survey.replaces if name in bands.index]
        if not own or not replaced:
            continue
        stars = np.isfinite(magnitude_mag[:, own]).any(axis=1)
        lost = np.zeros(magnitude_mag.shape, dtype=bool)
        lost[np.ix_(stars, replaced)] = True
        lost &= np.isfinite(magnitude_mag)
        magnitude_mag[lost], error_mag[lost] = np.nan, np.nan
        if lost.any():
            labels = " and ".join(bands.labels[i] for i in replaced)
            notes.append(
                f"{labels} set missing for {lost.any(axis=1).sum()} stars with bands of {survey.name}, which are of the same "
                "light: photons that counted twice would make errors too small"
            )
    return notes
