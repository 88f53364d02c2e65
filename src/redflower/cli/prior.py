"""Which distance prior a command uses."""

from pathlib import Path

from redflower.catalogue import DistancePrior, distance_prior_or_fallback, read_distance_prior
from redflower.catalogue.io.tables import column_names, read_table


def prior_for(distance_prior: Path | None, stars: Path) -> DistancePrior | None:
    """The prior of ``--distance-prior``; without one the mock Galaxy's, with a warning unless the stars are simulated."""
    if distance_prior is not None:
        return read_distance_prior(distance_prior)
    names = column_names(stars) or read_table(stars).colnames
    return None if "true_distance" in names else distance_prior_or_fallback()
