"""The mean reddening of the stars of a table of posteriors."""

from redflower.api.posteriors import ebv_prior_mag, open_posteriors
from redflower.api.sightlines import sightline_rows
from redflower.catalogue.io.sources import TableSource
from redflower.platforms import compute_platform
from redflower.posterior.density import joint_density
from redflower.sightline import MeanReddening
from redflower.sightline import mean_reddening as mean_of_densities


def mean_reddening(posteriors: TableSource) -> MeanReddening:
    """Return the mean E(B-V) of the stars of a table, the uniform reddening prior of each divided out.

    Of the stars that a sightline takes: a density, the status ``ok`` or ``edge_of_prior``, and like the training stars. The
    mean of their posterior means is another number, some 0.01 mag too red where there is no dust
    (docs/explanation/model.md, ES9).

    Parameters
    ----------
    posteriors : from `redflower.infer` with densities, or the path of their table.

    Returns
    -------
    Mean E(B-V) and its standard error [mag], and the number of stars.

    Raises
    ------
    InputError
        If the table has no densities.

    Examples
    --------
    >>> import redflower
    >>> mean = redflower.mean_reddening("posteriors.parquet")
    >>> 0.05 < mean.ebv_mag < 0.2
    True
    """
    compute_platform()
    table = open_posteriors(posteriors, "mean_reddening's input")
    density = joint_density(table)
    return mean_of_densities(density.rows(sightline_rows(table, density)), ebv_prior_mag(table))
