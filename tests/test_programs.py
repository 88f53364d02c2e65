"""Traced programs that are kept: the same numbers, read back by another process, and never a stale or damaged one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from redflower import programs
from redflower.programs import kept_program


class Moments(NamedTuple):
    mean: Array
    square: Array


TRACED: list[float] = []


def moments(values: Array, factor: float) -> tuple[Moments, Array]:
    TRACED.append(factor)
    scaled = factor * values
    return Moments(scaled.mean(), (scaled**2).mean()), jnp.sort(scaled)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(programs, "_folder", lambda: tmp_path)
    TRACED.clear()
    return tmp_path


VALUES = jnp.asarray(np.random.default_rng(1).normal(size=100), jnp.float32)


def test_a_program_is_traced_once_and_then_read_with_the_same_numbers(folder: Path) -> None:
    usual = jax.jit(moments, static_argnums=1)(VALUES, 2.0)
    TRACED.clear()
    first = kept_program(moments)(VALUES, 2.0)
    again = kept_program(moments)
    second = again(VALUES, 2.0)
    again(VALUES + 1.0, 2.0)
    assert TRACED == [2.0]
    assert len(list(folder.iterdir())) == 1
    assert isinstance(second[0], Moments)
    for one, two, three in zip(*map(jax.tree.leaves, (usual, first, second)), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(two, three)


def test_a_program_that_is_read_ahead_gives_the_same_numbers_and_is_read_once(folder: Path) -> None:
    usual = kept_program(moments)(VALUES, 2.0)
    TRACED.clear()
    shape = jax.ShapeDtypeStruct(VALUES.shape, VALUES.dtype)
    again = kept_program(moments)
    of_moments, of_sorted = again.read_ahead(shape, 2.0)
    assert of_moments == Moments(jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32))
    assert of_sorted.shape == (100,)
    assert again.read_ahead(shape, 2.0) is None
    for one, two in zip(*map(jax.tree.leaves, (usual, again(VALUES, 2.0))), strict=True):
        np.testing.assert_array_equal(one, two)
    assert TRACED == []
    assert again.read_ahead(shape, 2.0) is None


def test_what_is_not_kept_is_not_read_ahead(folder: Path, monkeypatch) -> None:
    shape = jax.ShapeDtypeStruct(VALUES.shape, VALUES.dtype)
    first = kept_program(moments)
    assert first.read_ahead(shape, 2.0) is None
    assert not list(folder.iterdir())
    usual = first(VALUES, 2.0)
    # A program that cannot be compiled in the thread is compiled where it is called.
    again = kept_program(moments)
    monkeypatch.setattr(programs._Asked, "compiled", lambda *_: 1 / 0)
    assert again.read_ahead(shape, 2.0) is not None
    np.testing.assert_array_equal(again(VALUES, 2.0)[1], usual[1])


def test_a_program_that_is_not_kept_is_made_ahead_where_this_is_asked_for(folder: Path) -> None:
    usual = jax.jit(moments, static_argnums=1)(VALUES, 2.0)
    TRACED.clear()
    made = kept_program(moments)
    of_moments, of_sorted = made.read_ahead(
        jax.ShapeDtypeStruct(VALUES.shape, VALUES.dtype), 2.0, or_make=True
    )
    assert (of_moments.mean.shape, of_sorted.shape) == ((), (100,))
    assert len(list(folder.iterdir())) == 1
    for one, two in zip(*map(jax.tree.leaves, (usual, made(VALUES, 2.0))), strict=True):
        np.testing.assert_array_equal(one, two)
    # Another process reads it.
    kept_program(moments)(VALUES, 2.0)
    assert TRACED == [2.0]


def test_a_compiler_that_lacks_an_option_does_without(folder: Path, monkeypatch) -> None:
    """Options are those of one version of XLA."""
    expected = kept_program(moments)(VALUES, 2.0)
    compiled = jax.stages.Lowered.compile

    def refuse(lowered, compiler_options=None, **others):
        raise ValueError("no such option")

    programs._compiler_options.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "compile", refuse)
        assert programs._compiler_options() == {}
    assert jax.stages.Lowered.compile is compiled
    np.testing.assert_array_equal(kept_program(moments)(VALUES, 2.0)[1], expected[1])
    programs._compiler_options.cache_clear()
    assert programs._compiler_options() != {}


def test_what_a_program_depends_on_is_in_its_name(folder: Path, monkeypatch) -> None:
    kept_program(moments)(VALUES, 2.0)
    kept_program(moments)(VALUES, 3.0)
    kept_program(moments)(VALUES[:50], 2.0)
    kept_program(moments)(VALUES.astype(jnp.float16), 2.0)
    monkeypatch.setattr(programs, "_circumstances", lambda: "another version")
    kept_program(moments)(VALUES, 2.0)
    assert TRACED == [2.0, 3.0, 2.0, 2.0, 2.0]
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("spoil", ["cut", "changed", "foreign", "empty"])
def test_a_damaged_program_is_traced_again_and_put_right(folder: Path, spoil: str) -> None:
    expected = kept_program(moments)(VALUES, 2.0)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    path.write_bytes(
        {"cut": whole[:-10], "changed": bytes(changed), "foreign": b"\x80\x04.", "empty": b""}[spoil]
    )
    found = kept_program(moments)(VALUES, 2.0)
    assert TRACED == [2.0, 2.0]
    np.testing.assert_array_equal(found[1], expected[1])
    assert programs._read(path)


def test_what_cannot_be_kept_is_computed_all_the_same(folder: Path) -> None:
    """A constant whose text does not say what it is, and an annotation that does not say what comes back."""

    def with_function(values: Array, function) -> Array:
        return function(values)

    def badly_annotated(values: Array) -> Array:
        return values, values

    np.testing.assert_array_equal(kept_program(with_function)(VALUES, jnp.negative), -VALUES)
    np.testing.assert_array_equal(kept_program(badly_annotated)(VALUES)[1], VALUES)
    assert not list(folder.iterdir())


def test_within_another_program_it_is_a_function_like_any_other(folder: Path) -> None:
    found = jax.jit(lambda values: kept_program(moments)(values, 2.0)[1])(VALUES)
    np.testing.assert_array_equal(found, moments(VALUES, 2.0)[1])
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_inference_gives_the_same_rows_with_kept_programs_and_without(tmp_path: Path) -> None:
    """Three processes: without, with programs that are written, and with those that are read."""
    import redflower

    sky = redflower.simulate(60, seed=3, preset="two-cloud", g_faint_mag=18.5)
    stars = redflower.write_table(
        redflower.prepare(sky, purpose="inference").table, tmp_path / "stars.parquet"
    )
    tables = []
    for name, switch in (("without", "0"), ("written", "1"), ("read", "1")):
        out = tmp_path / f"{name}.parquet"
        # Those of this test alone are read back.
        code = (
            "import redflower.programs as p; from pathlib import Path; real = p._folder; "
            f"p._folder = lambda: real() and Path({str(tmp_path / 'programs')!r}); "
            "from redflower.cli.app import main; main()"
        )
        subprocess.run(
            [sys.executable, "-c", code, "infer", str(stars), str(out), "--model", "mock-sky"],
            env={**os.environ, programs.SWITCH: switch}, capture_output=True,
        )  # fmt: skip
        tables.append(redflower.read_table(out))
    assert len(list((tmp_path / "programs").iterdir())) >= 5
    for other in tables[1:]:
        for name in other.colnames:
            np.testing.assert_array_equal(np.asarray(other[name]), np.asarray(tables[0][name]))
