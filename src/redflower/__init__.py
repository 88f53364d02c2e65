"""Dust reddening E(B-V) and distance of stars, by a conditional normalising flow of dust-free stars (FLOWER).

All at once, from a table as an archive delivers it to a page to look at:

    import redflower
    result = redflower.run("stars.csv", "results")          # results/index.html

Step by step; every function takes the path of a table, an astropy table, a data frame or an Arrow table:

    stars = redflower.prepare("stars.csv", purpose="inference").table
    settings = redflower.InferenceSettings(density=True)    # with the joint densities, which the dust needs
    posteriors = redflower.infer(stars, "archive-sky", settings=settings)
    good = posteriors[redflower.usable_rows(posteriors)]
    posteriors.meta["redflower"]["verdict"]                 # is the model right for these stars?

    redflower.mean_reddening(posteriors)                    # mean E(B-V) with its error
    redflower.sightline(posteriors)                         # the clouds along the line of sight, with odds
    redflower.combine_sightlines([one, other])              # those of one region, each borrowing from its neighbours
    redflower.sky_map(posteriors, nside=16, distance_pc=[500, 1000])
    redflower.draw_star(posteriors, source_id, prepared=stars)

Models: ``archive-sky`` for real stars, ``mock-sky`` for `redflower.simulate`'s; `redflower.train` makes others. Long work
shows its progress on a terminal and in a notebook; ``progress=False`` is silent. ``redflower --help`` is the command line.
"""

import os
import sys
from typing import TYPE_CHECKING

from redflower.lazy import lazy_names
from redflower.provenance import VERSION as __version__  # noqa: F401

if TYPE_CHECKING:
    from redflower.api import sightline as sightline
    from redflower.api.calibration import calibrate as calibrate
    from redflower.api.field_maps import make_field_map as field_map  # noqa: F401
    from redflower.api.inference import draw_posteriors as draw_posteriors
    from redflower.api.inference import infer as infer
    from redflower.api.means import mean_reddening as mean_reddening
    from redflower.api.neighbours import combine_sightlines as combine_sightlines
    from redflower.api.simulations import check_by_simulations as check_by_simulations
    from redflower.api.sky_maps import make_sky_map as sky_map  # noqa: F401
    from redflower.api.star_view import draw_star as draw_star
    from redflower.api.statuses import usable_rows as usable_rows
    from redflower.api.training import train as train
    from redflower.api.validation import validate as validate
    from redflower.catalogue import DistancePrior as DistancePrior
    from redflower.catalogue import QualityLimits as QualityLimits
    from redflower.catalogue import prepare as prepare
    from redflower.catalogue import read_distance_prior as read_distance_prior
    from redflower.catalogue import read_stars as read_stars
    from redflower.catalogue import read_table as read_table
    from redflower.catalogue import write_table as write_table
    from redflower.flow import load_model as load_model
    from redflower.flow import save_model as save_model
    from redflower.photometric_offsets import read_offsets as read_offsets
    from redflower.physics import ConstantLaw as ConstantLaw
    from redflower.physics import TableLaw as TableLaw
    from redflower.physics import Zhang23Law as Zhang23Law
    from redflower.posterior import FastSettings as FastSettings
    from redflower.posterior import InferenceSettings as InferenceSettings
    from redflower.posterior import NutsSettings as NutsSettings
    from redflower.products.adaptive_map import adaptive_map as adaptive_map
    from redflower.products.field_clouds import field_clouds as field_clouds
    from redflower.products.field_file import read_adaptive_map as read_adaptive_map
    from redflower.products.field_file import read_field_map as read_field_map
    from redflower.products.skymap import read_sky_map as read_sky_map
    from redflower.scale.hats.lazy import infer_lsdb as infer_lsdb
    from redflower.scale.run import run as run
    from redflower.sightline import DustPrior as DustPrior
    from redflower.simulate import simulate_stars as simulate  # noqa: F401

# On a GPU, JAX by default rounds what goes into matrix products to ten bits. Loci of stars are a hundred times thinner than
# they are long, so that log densities would be wrong by tenths without a word. Whoever set a precision keeps it.
if "jax" not in sys.modules:
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # JAX reads it when it is first imported
else:
    import jax

    if jax.config.jax_default_matmul_precision is None:  # type: ignore[attr-defined]
        jax.config.update("jax_default_matmul_precision", "highest")

lazy_names(__name__)
