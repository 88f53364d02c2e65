"""From posteriors of single stars to the dust along a sightline."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.sightline.cells import flat_distance_log_weight as flat_distance_log_weight
    from redflower.sightline.cells import make_grid as make_grid
    from redflower.sightline.cells import star_cells as star_cells
    from redflower.sightline.dust import Dust as Dust
    from redflower.sightline.dust import DustPrior as DustPrior
    from redflower.sightline.fit import fit_sightline as fit_sightline
    from redflower.sightline.neighbours import share_distances as share_distances
    from redflower.sightline.profile import MeanReddening as MeanReddening
    from redflower.sightline.profile import Profile as Profile
    from redflower.sightline.profile import binned_profile as binned_profile
    from redflower.sightline.profile import mean_reddening as mean_reddening
    from redflower.sightline.result import CloudModel as CloudModel
    from redflower.sightline.result import SightlineFit as SightlineFit
    from redflower.sightline.result import cloud_summary as cloud_summary
    from redflower.sightline.shared_density import SharingSettings as SharingSettings
    from redflower.sightline.tempering import TemperingSettings as TemperingSettings

lazy_names(__name__)
