"""What a seed's numbers are used for: nothing twice, and the same again where a step is looked at once more."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.physics import Zhang23Law
from redflower.posterior.keys import star_keys
from redflower.random_streams import Stream, stream_key
from redflower.train import ContrastConfig, StageConfig, TrainConfig
from redflower.train.dataset import tabulate
from redflower.train.loss import objective
from redflower.train.loss.objective import Group, Objective, rows_of_bad_gradients
from tests.helpers.flows import random_flow
from tests.train.test_train import sample

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 20.5}


def children(key: jax.Array, n: int = 64) -> set[tuple[int, ...]]:
    """A key, and what splitting it or folding a number into it gives, as plain numbers."""
    keys = [key, *jax.random.split(key, 3), *(jax.random.fold_in(key, i) for i in range(n))]
    return {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in keys}


def test_jax_gives_one_key_for_a_split_and_a_fold() -> None:
    """The trap that the streams are for; should JAX mend it, they do no harm."""
    key = jax.random.key(5)
    split, fold = jax.random.split(key)[1], jax.random.fold_in(key, 1)
    assert (jax.random.key_data(split) == jax.random.key_data(fold)).all()


def test_no_use_of_a_seed_has_the_keys_of_another() -> None:
    for a, b in itertools.combinations(Stream, 2):
        assert not children(stream_key(0, a)) & children(stream_key(0, b)), (a, b)
        star_a, star_b = (star_keys(np.array([4711]), 0, stream)[0] for stream in (a, b))
        assert not children(star_a) & children(star_b), (a, b)


def test_the_evidence_and_the_reddened_copies_of_a_star_share_no_numbers(monkeypatch) -> None:
    """The keys that reach them, handed out in place of their values: 16 bits at a time, which a float32 holds exactly."""
    config = TrainConfig(normaliser="none", contrast=ContrastConfig(strength=0.3))
    data, rows, flow = tabulate(sample(4)), jnp.arange(4, dtype=jnp.uint32), random_flow(1, dim=3)
    pieces = []
    for word, shift in itertools.product(range(2), (0, 16)):

        def piece(key: jax.Array, word: int = word, shift: int = shift) -> jax.Array:
            return ((jax.random.key_data(key)[word] >> shift) & 0xFFFF).astype(jnp.float32)

        monkeypatch.setattr(objective, "log_evidence", lambda flow, star, key, *_, piece=piece: piece(key))
        monkeypatch.setattr(
            objective,
            "log_contrast",
            lambda flow, star, key, *_, piece=piece, **__: (piece(key), jnp.bool_(True)),
        )
        made = Objective(config=config, law=Zhang23Law(), **LIMITS)
        both = made.terms(flow, data, rows, 2, n_draws=2, gaps=False, contrast=True)
        pieces.append(np.concatenate(both).astype(np.uint32) << np.uint32(shift))
    words = np.stack([pieces[0] | pieces[1], pieces[2] | pieces[3]], axis=1)
    seen: set[tuple[int, ...]] = set()
    for word in words:
        of_key = children(jax.random.wrap_key_data(jnp.asarray(word)))
        assert not of_key & seen
        seen |= of_key


@pytest.mark.equation("E22")
def test_a_step_that_was_not_finite_is_judged_by_its_own_draws(monkeypatch) -> None:
    """An evidence that is not finite for some draws alone, other ones with gaps and for other draws of magnitudes."""

    def evidence(flow, star, key, estimator, n_draws):
        kind = 2 * estimator.integrate_gaps + (estimator.magnitudes == "adapted")
        level = jax.random.uniform(jax.random.fold_in(key, kind))
        return jnp.where(level < 0.3, jnp.nan, 0.0) + 0.0 * jnp.sum(flow.weights.matrices[0])

    monkeypatch.setattr(objective, "log_evidence", evidence)
    data, rows = tabulate(sample(40)), np.arange(100, 140)
    gaps = np.arange(40) % 3 == 0
    stage = StageConfig(n_draws=2, magnitudes="likelihood")
    made = Objective(config=TrainConfig(normaliser="none", magnitudes="adapted"), law=Zhang23Law(), **LIMITS)
    flow = random_flow(1, dim=3)
    expected = np.zeros(40, dtype=bool)
    for has_gaps in (False, True):
        terms, _ = made.terms(
            flow, data, jnp.asarray(rows, jnp.uint32), 7, n_draws=2, gaps=has_gaps, contrast=False,
            magnitudes=stage.magnitudes,
        )  # fmt: skip
        expected[gaps == has_gaps] = ~np.isfinite(np.asarray(terms))[gaps == has_gaps]
    groups = [
        Group(
            has_gaps=has_gaps,
            data=jax.tree.map(lambda a, mine=gaps == has_gaps: a[mine], data),
            rows=jnp.asarray(rows[gaps == has_gaps], jnp.uint32),
            weights=jnp.ones(int((gaps == has_gaps).sum())),
        )
        for has_gaps in (False, True)
    ]
    found = rows_of_bad_gradients(made, flow, groups, stream=7, strength=0.0, outlier_share=0.0, stage=stage)
    np.testing.assert_array_equal(found, rows[expected])
    assert 3 < expected.sum() < 25
