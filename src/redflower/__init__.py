"""Dust reddening and distance of stars with conditional normalising flows (FLOWER)."""

import jax

from redflower.provenance import VERSION as __version__  # noqa: F401

# On a GPU, JAX by default rounds what goes into matrix products to ten bits. Loci of stars are a hundred times thinner than
# they are long, so that log densities would be wrong by tenths without a word. Whoever set a precision keeps it.
if jax.config.jax_default_matmul_precision is None:  # type: ignore[attr-defined]
    jax.config.update("jax_default_matmul_precision", "highest")

# `train`, `simulate`, `sightline` and `validate` are packages too: importing the functions last makes the plain names
# mean the functions.
from redflower.catalogue import prepare as prepare  # noqa: E402, I001
from redflower.catalogue import read_distance_prior as read_distance_prior  # noqa: E402
from redflower.catalogue import read_stars as read_stars  # noqa: E402
from redflower.catalogue import read_table as read_table  # noqa: E402
from redflower.catalogue import write_table as write_table  # noqa: E402
from redflower.flow import load_model as load_model  # noqa: E402
from redflower.flow import save_model as save_model  # noqa: E402
from redflower.photometric_offsets import read_offsets as read_offsets  # noqa: E402
from redflower.simulate import simulate_stars as simulate  # noqa: E402, F401
from redflower.api.calibration import calibrate as calibrate  # noqa: E402  isort: skip
from redflower.api.inference import infer as infer  # noqa: E402  isort: skip
from redflower.api.inference import draw_posteriors as draw_posteriors  # noqa: E402  isort: skip
from redflower.api.training import train as train  # noqa: E402  isort: skip
from redflower.api.statuses import usable_rows as usable_rows  # noqa: E402  isort: skip
from redflower.api.means import mean_reddening as mean_reddening  # noqa: E402  isort: skip
from redflower.api import sightline as sightline  # noqa: E402  isort: skip
from redflower.api.validation import validate as validate  # noqa: E402  isort: skip
