"""Which distance prior a command uses."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redflower.catalogue import DistancePrior


def prior_for(
    distance_prior: Path | None, stars: Path, model: str | Path | None = None
) -> "DistancePrior | None":
    """Return the prior of ``--distance-prior``, a file or the name of a simulated population.

    Without one a packaged prior, with a warning unless the stars are simulated: that of the model, or the mock Galaxy's.
    """
    from redflower.catalogue import default_distance_prior, distance_prior_or_fallback, read_distance_prior
    from redflower.catalogue.io.tables import column_names, read_table
    from redflower.catalogue.maps.distance_prior import PACKAGED
    from redflower.flow import load_model

    if distance_prior is not None:
        name = str(distance_prior)
        if name in PACKAGED and not distance_prior.exists():
            return default_distance_prior(name)
        return read_distance_prior(distance_prior)
    names = column_names(stars) or read_table(stars).colnames
    if "true_distance" in names:
        return None
    sha256 = None if model is None else load_model(model).distance_prior.get("sha256")
    return distance_prior_or_fallback(sha256=sha256)
