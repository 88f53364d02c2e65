"""The Python front door, a file per verb: tables in, tables and small results out."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.api.field_maps import make_field_map as make_field_map
    from redflower.api.inference import draw_posteriors as draw_posteriors
    from redflower.api.inference import infer as infer
    from redflower.api.means import mean_reddening as mean_reddening
    from redflower.api.neighbours import combine_sightlines as combine_sightlines
    from redflower.api.sample import TrainingSample as TrainingSample
    from redflower.api.sample import training_sample as training_sample
    from redflower.api.sightlines import fit_posteriors as sightline  # noqa: F401
    from redflower.api.simulations import check_by_simulations as check_by_simulations
    from redflower.api.sky_maps import make_sky_map as make_sky_map
    from redflower.api.statuses import describe_statuses as describe_statuses
    from redflower.api.statuses import status_counts as status_counts
    from redflower.api.statuses import usable_rows as usable_rows
    from redflower.api.training import train as train
    from redflower.api.validation import validate as validate

lazy_names(__name__)
