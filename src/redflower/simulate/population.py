"""The populations that can be simulated: a Galaxy, its stars, and the photometric scales they are on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from redflower.bands import BandSet
from redflower.errors import InputError
from redflower.photometric_scales import MOCK_SKY_SCALE, PhotometricScale, make_scale
from redflower.physics import ExtinctionLaw, Zhang23Law, default_law
from redflower.simulate import photometry, populations, sky_stars
from redflower.simulate.colours import sky_coefficients
from redflower.simulate.galaxy import COMPONENTS, Component
from redflower.simulate.milky_way import SKY_COMPONENTS
from redflower.simulate.populations import Library

#: The scale of the population ``sky``: that of the archives.
SKY_SCALE: Final = "gaia=dr3,ps1=archive"


@dataclass(frozen=True)
class Population:
    """One population.

    Attributes
    ----------
    components : of the Galaxy.
    draw_library : systems of one component, weighted, from (component, how many, random numbers).
    system_magnitudes : absolute magnitudes in every band of rows of a library, from (library, rows, [Fe/H], random
        numbers, bands).
    scale : photometric scale of the magnitudes.
    ps1_drift : what Pan-STARRS1's magnitudes drift by with magnitude, for `redflower.simulate.survey.ps1_drift_mag`;
        None for not.
    law : extinction law of its clouds.
    """

    components: tuple[Component, ...]
    draw_library: Callable[[Component, int, np.random.Generator], Library]
    system_magnitudes: Callable[[Library, np.ndarray, np.ndarray, np.random.Generator, BandSet], np.ndarray]
    scale: Callable[[], PhotometricScale]
    ps1_drift: Callable[[], dict[str, Any]] | None = None
    law: ExtinctionLaw = field(default_factory=default_law)


POPULATIONS: Final[dict[str, Population]] = {
    "mock": Population(
        components=COMPONENTS,
        draw_library=populations.draw_library,
        system_magnitudes=photometry.system_magnitudes,
        scale=lambda: make_scale(MOCK_SKY_SCALE),
        law=Zhang23Law(),
    ),
    "sky": Population(
        components=SKY_COMPONENTS,
        draw_library=sky_stars.draw_library,
        system_magnitudes=sky_stars.system_magnitudes,
        scale=lambda: make_scale(SKY_SCALE),
        ps1_drift=lambda: sky_coefficients()["ps1_drift"],
    ),
}


def find_population(name: str) -> Population:
    """Find a population by its name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in POPULATIONS:
        raise InputError(f"simulate_stars(population) needs one of {', '.join(POPULATIONS)}; got {name!r}.")
    return POPULATIONS[name]
