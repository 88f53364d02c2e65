"""The physics of one star: pure functions of scalars and of one value per band; the caller vectorises them.

Equations by their number in docs/explanation/model.md.
"""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.physics.coordinates import DISTANCE_FLOOR_PC as DISTANCE_FLOOR_PC
    from redflower.physics.coordinates import RADIUS_SOFTENING_PC as RADIUS_SOFTENING_PC
    from redflower.physics.coordinates import distance_modulus as distance_modulus
    from redflower.physics.coordinates import distance_pc_of_modulus as distance_pc_of_modulus
    from redflower.physics.coordinates import flow_condition as flow_condition
    from redflower.physics.coordinates import galactocentric_radius_pc as galactocentric_radius_pc
    from redflower.physics.coordinates import height_pc as height_pc
    from redflower.physics.extinction import extinction_mag as extinction_mag
    from redflower.physics.extinction import intrinsic_bp_rp as intrinsic_bp_rp
    from redflower.physics.extinction import unredden as unredden
    from redflower.physics.extinction_laws import ConstantLaw as ConstantLaw
    from redflower.physics.extinction_laws import ExtinctionLaw as ExtinctionLaw
    from redflower.physics.extinction_laws import TableLaw as TableLaw
    from redflower.physics.extinction_laws import Zhang23Law as Zhang23Law
    from redflower.physics.extinction_laws import effective_temperature_k as effective_temperature_k
    from redflower.physics.law_names import LAW_NAMES as LAW_NAMES
    from redflower.physics.law_names import default_law as default_law
    from redflower.physics.law_names import law_of_name as law_of_name
    from redflower.physics.law_names import make_law as make_law
    from redflower.physics.likelihoods import log_parallax_likelihood as log_parallax_likelihood
    from redflower.physics.likelihoods import log_photometric_likelihood as log_photometric_likelihood
    from redflower.physics.magnitude_errors import magnitude_error_mag as magnitude_error_mag
    from redflower.physics.photometry import absolute_to_colour as absolute_to_colour
    from redflower.physics.photometry import colour_covariance as colour_covariance
    from redflower.physics.photometry import colour_to_absolute as colour_to_absolute
    from redflower.physics.priors import DistancePosterior as DistancePosterior
    from redflower.physics.priors import distance_posterior_quantiles as distance_posterior_quantiles
    from redflower.physics.priors import distance_prior_cdf as distance_prior_cdf
    from redflower.physics.priors import distance_prior_quantile as distance_prior_quantile
    from redflower.physics.priors import log_distance_prior as log_distance_prior
    from redflower.physics.priors import log_parallax_evidence as log_parallax_evidence
    from redflower.physics.priors import log_reddening_prior as log_reddening_prior
    from redflower.physics.selection import EDGE_WIDTH_MAG as EDGE_WIDTH_MAG
    from redflower.physics.selection import SelectionFunction as SelectionFunction
    from redflower.physics.selection import log_mean_selection as log_mean_selection
    from redflower.physics.selection import log_selection as log_selection
    from redflower.physics.selection import log_subsample_selection as log_subsample_selection
    from redflower.physics.selection import log_within_limits as log_within_limits
    from redflower.physics.selection import selection_from_parts as selection_from_parts
    from redflower.physics.selection_parts import selection_to_parts as selection_to_parts
    from redflower.physics.zhang23_corrected import Zhang23CorrectedLaw as Zhang23CorrectedLaw

lazy_names(__name__)
