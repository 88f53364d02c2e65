"""The physics of one star: pure functions of scalars and of one value per band; the caller vectorises them.

Equations by their number in docs/model.md.
"""

from redflower.physics.coordinates import (
    DISTANCE_FLOOR_PC,
    RADIUS_SOFTENING_PC,
    distance_modulus,
    distance_pc_of_modulus,
    flow_condition,
    galactocentric_radius_pc,
    height_pc,
)
from redflower.physics.extinction import extinction_mag, intrinsic_bp_rp, unredden
from redflower.physics.extinction_laws import (
    ConstantLaw,
    ExtinctionLaw,
    TableLaw,
    Zhang23Law,
    effective_temperature_k,
    make_law,
)
from redflower.physics.likelihoods import log_parallax_likelihood, log_photometric_likelihood
from redflower.physics.photometry import (
    absolute_to_colour,
    colour_covariance,
    colour_to_absolute,
    magnitude_error_mag,
)
from redflower.physics.priors import (
    DistancePosterior,
    distance_posterior_quantiles,
    distance_prior_cdf,
    distance_prior_quantile,
    log_distance_prior,
    log_parallax_evidence,
    log_reddening_prior,
)
from redflower.physics.selection import (
    EDGE_WIDTH_MAG,
    SelectionFunction,
    log_mean_selection,
    log_selection,
    log_subsample_selection,
    log_within_limits,
    selection_from_parts,
    selection_to_parts,
)

__all__ = [
    "DISTANCE_FLOOR_PC",
    "EDGE_WIDTH_MAG",
    "RADIUS_SOFTENING_PC",
    "ConstantLaw",
    "DistancePosterior",
    "ExtinctionLaw",
    "SelectionFunction",
    "TableLaw",
    "Zhang23Law",
    "absolute_to_colour",
    "colour_covariance",
    "colour_to_absolute",
    "distance_modulus",
    "distance_pc_of_modulus",
    "distance_posterior_quantiles",
    "distance_prior_cdf",
    "distance_prior_quantile",
    "effective_temperature_k",
    "extinction_mag",
    "flow_condition",
    "galactocentric_radius_pc",
    "height_pc",
    "intrinsic_bp_rp",
    "unredden",
    "log_distance_prior",
    "log_parallax_evidence",
    "log_parallax_likelihood",
    "log_photometric_likelihood",
    "log_reddening_prior",
    "log_mean_selection",
    "log_selection",
    "log_subsample_selection",
    "selection_from_parts",
    "selection_to_parts",
    "log_within_limits",
    "magnitude_error_mag",
    "make_law",
]
