"""Functions of training as programs compiled whole: called op by op, each compiles hundreds of small ones."""

import equinox as eqx
import jax

from redflower.train import dataset
from redflower.train.loss import contrastive, evidence

make_training_star = jax.jit(dataset.make_training_star)
log_evidence = eqx.filter_jit(evidence.log_evidence)
log_selected_fraction = eqx.filter_jit(evidence.log_selected_fraction)
log_contrast = eqx.filter_jit(contrastive.log_contrast)
