"""From a prepared table to the arrays that the model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import jax
import numpy as np
from astropy.table import Table
from jaxtyping import Array, Bool, Float, Shaped

from redflower.bands import MIN_BANDS, STANDARD, BandSet
from redflower.catalogue.band_names import bands_named
from redflower.catalogue.covariances import correlations
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.maps.distance_prior import DistancePrior
from redflower.catalogue.maps.selection_counts import selection_pixels
from redflower.catalogue.prepared import prepared_error_name, require_prepared, table_scale
from redflower.errors import InputError
from redflower.photometric_offsets import PhotometricOffsets
from redflower.photometric_scales import PhotometricScale, move_magnitudes
from redflower.physics import SelectionFunction
from redflower.physics.correlated_errors import error_whitener
from redflower.platforms import compute_platform
from redflower.star import Star

USABLE: Final = "usable"
NO_POSITION: Final = "no position"
FEW_BANDS: Final = f"fewer than {MIN_BANDS} bands"


@dataclass(frozen=True)
class StarBatch:
    """Stars as arrays, one for each row of the table, and which of them can be inferred at all.

    Attributes
    ----------
    stars : the arrays, with fillers where something is missing.
    usable : whether a row can be inferred; the others keep their place, filled with finite values.
    reason : `USABLE`, `NO_POSITION` or `FEW_BANDS`, for each row.
    """

    stars: Star
    usable: Bool[np.ndarray, " star"]
    reason: Shaped[np.ndarray, " star"]


def to_stars(
    table: Table,
    prior: DistancePrior,
    selection: SelectionFunction | None = None,
    *,
    scale: PhotometricScale | None = None,
    photometry: "PhotometricScale | str | None" = None,
    offsets: PhotometricOffsets | None = None,
    without: Sequence[str] = (),
    bands: BandSet = STANDARD,
) -> StarBatch:
    """Return the arrays of a prepared table, a row for a row.

    Parameters
    ----------
    table : from `prepare`.
    prior : of distance, looked up at each position.
    selection : the selection function whose pixels the stars will be looked up in.
    scale : photometric scale to move the magnitudes to, which is the model's. If None, they stay on the table's.
    photometry : scale of a table that states none.
    offsets : of the sample against the model, taken off after the move to its scale.
    without : bands to take as missing in every star, by label or name.
    bands : of the arrays, which are `redflower.flow.Model.star_bands` of the model that they are for. What else the table has is
        left.

    Raises
    ------
    InputError
        If the table is not prepared, or is to be moved and states no photometric scale.
    ModelError
        If no relation between the table's scale and the model's is known.
    """
    compute_platform()
    require_prepared(table)
    ra_deg, dec_deg, l_deg, b_deg = (as_floats(table, name) for name in ("ra", "dec", "l", "b"))
    magnitude = np.stack([as_floats(table, band.name) for band in bands], axis=1)
    error = np.stack([as_floats(table, prepared_error_name(band)) for band in bands], axis=1)
    with np.errstate(invalid="ignore"):
        observed = np.isfinite(magnitude) & np.isfinite(error) & (error > 0)
    observed[:, list(bands_named(without, bands))] = False
    if scale is not None:
        of_table = table_scale(table, photometry)
        magnitude, error = move_magnitudes(
            magnitude, error, observed, of_table=of_table, to=scale, bands=bands
        )
    if offsets is not None:
        magnitude, error = offsets.remove(magnitude, error, observed, bands)
    parallax, parallax_error = as_floats(table, "parallax"), as_floats(table, "parallax_error")
    with np.errstate(invalid="ignore"):
        has_parallax = np.isfinite(parallax) & np.isfinite(parallax_error) & (parallax_error > 0)
    placed = np.isfinite(np.stack([ra_deg, dec_deg, l_deg, b_deg])).all(axis=0)
    log_length, alpha, beta = prior.lookup(np.where(placed, ra_deg, 0.0), np.where(placed, dec_deg, 0.0))

    pixel = np.zeros(len(table)) if selection is None else selection_pixels(selection, ra_deg, dec_deg)

    # The first reason that holds; np.select takes them in order.
    reason = np.select(
        [~placed, observed.sum(axis=1) < MIN_BANDS],
        [NO_POSITION, FEW_BANDS],
        default=USABLE,
    )

    correlation = correlations(table, bands, error)
    whitener = None if correlation is None else _whitener(correlation, observed)

    def put(values: np.ndarray, kind: type[np.generic]) -> Array:
        # Not jnp.asarray, which compiles a program for every number of rows.
        return jax.device_put(np.asarray(values, kind))

    def filled(
        values: Float[np.ndarray, "*shape"], there: Bool[np.ndarray, "*shape"], filler: float
    ) -> Float[Array, "*shape"]:
        return put(np.where(there, values, filler), np.float32)

    stars = Star(
        magnitude_mag=filled(magnitude, observed, 0.0),
        magnitude_error_mag=filled(error, observed, 1.0),
        observed=put(observed, np.bool_),
        parallax_mas=filled(parallax, has_parallax, 0.0),
        parallax_error_mas=filled(parallax_error, has_parallax, 1.0),
        has_parallax=put(has_parallax, np.bool_),
        l_deg=filled(l_deg, placed, 0.0),
        b_deg=filled(b_deg, placed, 90.0),
        prior_log_length_pc=put(log_length, np.float32),
        prior_alpha=put(alpha, np.float32),
        prior_beta=put(beta, np.float32),
        selection_pixel=put(pixel, np.int32),
        error_whitener=None if whitener is None else put(whitener, np.float32),
    )
    return StarBatch(stars, reason == USABLE, reason)


def _whitener(
    correlation: Float[np.ndarray, "star band band"], observed: Bool[np.ndarray, "star band"]
) -> Float[np.ndarray, "star band band"]:
    try:
        return error_whitener(correlation, observed)
    except np.linalg.LinAlgError:
        raise InputError(
            "the covariance between the bands of some star is of no positive matrix: its column was changed since `prepare` "
            "checked it. Prepare the raw table again."
        ) from None
