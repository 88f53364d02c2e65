"""Dust reddening and distance of stars with conditional normalising flows (FLOWER)."""

import os
import sys
from typing import TYPE_CHECKING

from redflower.lazy import lazy_names
from redflower.provenance import VERSION as __version__  # noqa: F401

if TYPE_CHECKING:
    from redflower.api import sightline as sightline
    from redflower.api.calibration import calibrate as calibrate
    from redflower.api.inference import draw_posteriors as draw_posteriors
    from redflower.api.inference import infer as infer
    from redflower.api.means import mean_reddening as mean_reddening
    from redflower.api.simulations import check_by_simulations as check_by_simulations
    from redflower.api.star_view import draw_star as draw_star
    from redflower.api.statuses import usable_rows as usable_rows
    from redflower.api.training import train as train
    from redflower.api.validation import validate as validate
    from redflower.catalogue import prepare as prepare
    from redflower.catalogue import read_distance_prior as read_distance_prior
    from redflower.catalogue import read_stars as read_stars
    from redflower.catalogue import read_table as read_table
    from redflower.catalogue import write_table as write_table
    from redflower.flow import load_model as load_model
    from redflower.flow import save_model as save_model
    from redflower.photometric_offsets import read_offsets as read_offsets
    from redflower.scale.run import run as run
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
