"""What the command line decides before any work: the distance prior, and where compiled programs are kept."""

import logging
from pathlib import Path

import jax
import pytest
from astropy.table import Table

from redflower.catalogue import write_table
from redflower.cli import compile_cache
from redflower.cli.prior import prior_for
from redflower.errors import InputError


@pytest.mark.parametrize("ending", ["parquet", "fits"])
def test_the_fallback_prior_is_named_aloud_for_stars_that_are_not_simulated(
    tmp_path: Path, ending, caplog
) -> None:
    real, mock = tmp_path / f"real.{ending}", tmp_path / f"mock.{ending}"
    write_table(Table({"source_id": [1], "ra": [2.0]}), real)
    write_table(Table({"source_id": [1], "true_distance": [300.0]}), mock)
    with caplog.at_level(logging.WARNING):
        assert prior_for(None, mock) is None
        assert not caplog.records
        prior = prior_for(None, real)
    assert prior is not None
    assert prior.name in caplog.text
    assert "--distance-prior" in caplog.text


def test_a_prior_that_is_no_table_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "prior.csv"
    bad.write_text("healpix,rlen\n1,2\n")
    with pytest.raises(InputError):
        prior_for(bad, tmp_path / "absent.parquet")


def test_compiled_programs_are_kept_unless_jax_is_told_otherwise(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = compile_cache.cache_folder()
    assert folder.parent == tmp_path / "redflower"
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        compile_cache.keep_compiled_programs()
        assert jax.config.values["jax_compilation_cache_dir"] == str(folder)
        jax.config.update("jax_compilation_cache_dir", "/elsewhere")
        compile_cache.keep_compiled_programs()
        assert jax.config.values["jax_compilation_cache_dir"] == "/elsewhere"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
