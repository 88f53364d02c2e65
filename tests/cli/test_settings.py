"""What the command line decides before any work: where compiled programs are kept."""

from pathlib import Path

import jax

from redflower import compile_cache
from redflower.api.processes import worker_count


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
        jax.config.update("jax_compilation_cache_dir", None)
        worker_count(1, 10, 2.5)  # what `redflower.infer` begins with
        assert jax.config.values["jax_compilation_cache_dir"] == str(folder)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
