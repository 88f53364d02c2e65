"""The sums by which a sample is judged, from its stars as they were inferred."""

import numpy as np

from redflower.calibrate.offsets import star_weights
from redflower.calibrate.verdict import SampleFit
from redflower.flow.model import Model
from redflower.posterior.fast.fit import POOR_FIT, FitRecord, tail_probability
from redflower.posterior.status import IMPORTANCE, NUTS, Status


def sample_fit(
    model: Model,
    record: FitRecord,
    columns: dict[str, np.ndarray],
) -> SampleFit:
    """Return the sums of some inferred stars.

    Parameters
    ----------
    model : that they were inferred with.
    record : of the stars, from `redflower.posterior.infer_stars`.
    columns : of the same stars, from there too.
    """
    inferred = np.isfinite(columns["ebv_mean"]) & record.done
    rows = np.flatnonzero(inferred)
    residual = record.residual[rows].astype(np.float64)
    observed = record.observed[rows]
    counted = star_weights(residual, observed) > 0.5
    at_edge = columns["status"][rows] == Status.EDGE_OF_PRIOR.value
    low = columns["ebv_mean"][rows] < 0.1
    engine = columns["engine"][rows]
    has_parallax = record.parallax_residual[rows] != 0.0
    parallax = record.parallax_residual[rows][has_parallax].astype(np.float64)
    return SampleFit(
        labels=list(model.bands.labels)[1:],
        n_stars=len(rows),
        n_poor=int((tail_probability(residual, observed) < POOR_FIT).sum()),
        n_low_edge=int((at_edge & low).sum()),
        n_high_edge=int((at_edge & ~low).sum()),
        n_importance=int((engine == IMPORTANCE).sum()),
        n_nuts=int((engine == NUTS).sum()),
        n_outliers=round(float(np.nansum(columns["p_outlier"][rows])), 6),
        n_bands=observed[counted, 1:].sum(axis=0).tolist(),
        residual=residual[counted].sum(axis=0).tolist(),
        residual_mag=record.residual_mag[rows][counted].sum(axis=0, dtype=float).tolist(),
        squares_mag2=(record.residual_mag[rows][counted].astype(float) ** 2).sum(axis=0).tolist(),
        parallax=[float(len(parallax)), float(parallax.sum()), float((parallax**2).sum())],
    )
