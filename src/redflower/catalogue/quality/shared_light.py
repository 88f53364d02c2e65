"""Bands that are made of the same light: the photons of a star count once.

In inference the replaced bands are set missing. In training they are kept: a model has to learn them beside those that replace
them, or it could not integrate over them, and the law's colour is BP - RP.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from redflower.band import BandSet
from redflower.catalogue.quality.limits import Purpose
from redflower.survey import Survey


def without_shared_light(
    magnitude_mag: Float[np.ndarray, "star band"],
    error_mag: Float[np.ndarray, "star band"],
    bands: BandSet,
    surveys: Iterable[Survey],
    purpose: Purpose,
) -> list[str]:
    """Set bands missing, in place, where a star has bands of a survey that replaces them; return what was done in words.

    Parameters
    ----------
    magnitude_mag, error_mag : NaN where a band is missing. [mag]
    bands : in their order.
    surveys : whose bands were read.
    purpose : what the stars are for; for training nothing is set missing.
    """
    notes = []
    for survey in surveys:
        own = [i for i, band in enumerate(bands) if band.survey == survey.survey]
        replaced = [bands.index[name] for name in survey.replaces if name in bands.index]
        if not own or not replaced:
            continue
        labels = " and ".join(bands.labels[i] for i in replaced)
        stars = np.isfinite(magnitude_mag[:, own]).any(axis=1)
        lost = np.zeros(magnitude_mag.shape, dtype=bool)
        lost[np.ix_(stars, replaced)] = True
        lost &= np.isfinite(magnitude_mag)
        n_lost = int(lost.any(axis=1).sum())
        if not n_lost:
            continue
        if purpose == "training":
            notes.append(
                f"{labels} kept for {n_lost} stars with bands of {survey.name}, which are of the same light: training has to see "
                "both, and takes their noise as independent; train on bright stars, where floors exceed it"
            )
            continue
        magnitude_mag[lost], error_mag[lost] = np.nan, np.nan
        notes.append(
            f"{labels} set missing for {n_lost} stars with bands of {survey.name}, which are of the same light: photons that "
            f"counted twice would make errors too small. A model without the bands of {survey.name} then has neither: prepare "
            f"without --survey {survey.name} for it"
        )
    return notes
