"""The posterior of one star's reddening and distance: one log density, its engines, its summaries."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.posterior.density import JointDensity as JointDensity
    from redflower.posterior.density import joint_density as joint_density
    from redflower.posterior.engine import infer_stars as infer_stars
    from redflower.posterior.engine import read_programs_ahead as read_programs_ahead
    from redflower.posterior.log_density import Target as Target
    from redflower.posterior.log_density import log_posterior as log_posterior
    from redflower.posterior.log_density import make_target as make_target
    from redflower.posterior.nuts.sampler import sample_stars as sample_stars
    from redflower.posterior.settings import PAPER_SETTINGS as PAPER_SETTINGS
    from redflower.posterior.settings import FastSettings as FastSettings
    from redflower.posterior.settings import InferenceSettings as InferenceSettings
    from redflower.posterior.settings import NutsSettings as NutsSettings
    from redflower.posterior.status import FLAG_MESSAGES as FLAG_MESSAGES
    from redflower.posterior.status import STATUS_MESSAGES as STATUS_MESSAGES
    from redflower.posterior.status import Flag as Flag
    from redflower.posterior.status import Status as Status

lazy_names(__name__)
