"""What training maximises is what inference reports for a star without dust: two codes, one integral."""

import jax
import numpy as np
import pytest

import redflower
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.flow import load_model
from redflower.posterior import InferenceSettings
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
#: A prior so narrow that no star can tell: 0.0015 mag of extinction. [mag]
NO_DUST_MAG = 0.0005


@pytest.mark.slow
@pytest.mark.equation("E23")
@pytest.mark.equation("E16")
def test_the_evidence_of_training_is_that_of_inference() -> None:
    """Eight stars with 8 bands and eight with 11. 4,096 draws leave 0.03 nat of scatter a star, the fast engine 0.04."""
    sky = redflower.simulate(400, seed=77, **LIMITS)
    table = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    sample = training_sample(table, default_distance_prior(), **LIMITS)
    observed = np.asarray(sample.data.star.observed)
    complete = np.flatnonzero(observed.all(axis=1))[:8]
    optical = np.flatnonzero(observed[:, :8].all(axis=1) & ~observed[:, 8:].any(axis=1))[:8]
    rows = np.concatenate([optical, complete])
    model = load_model("mock-sky")
    flow = model.flow.prepared()
    one = jax.jit(
        jax.vmap(
            lambda star, key: log_evidence(
                flow, star, key,
                Estimator(proposal="posterior", magnitudes="adapted", integrate_gaps=False, normaliser="none", **LIMITS),
                n_draws=4096,
            )
        )
    )  # fmt: skip
    in_training = np.asarray(
        one(jax.tree.map(lambda a: np.asarray(a)[rows], sample.data), jax.random.split(jax.random.key(9), 16))
    )
    places = {source_id: row for row, source_id in enumerate(np.asarray(table["source_id"]))}
    settings = InferenceSettings(ebv_min_mag=-NO_DUST_MAG, ebv_max_mag=NO_DUST_MAG, hand_on=False)
    stars = table[[places[source_id] for source_id in np.asarray(sample.source_id)[rows]]]
    difference = np.asarray(redflower.infer(stars, model, settings=settings)["log_evidence"]) - in_training
    assert abs(difference.mean()) < 0.05
    assert np.abs(difference).max() < 0.25
