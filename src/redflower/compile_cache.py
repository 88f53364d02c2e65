"""Compiled programs kept between runs: compiling takes a minute, reading them back seconds."""

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import Final

#: Programs that take less to compile are compiled again: there are eighty that do. [s]
WORTH_KEEPING_S: Final = "0.05"


def keep_compiled_programs() -> None:
    """Let JAX keep compiled programs in the user's cache folder, unless JAX's own settings say otherwise.

    ``JAX_COMPILATION_CACHE_DIR`` names another folder, ``JAX_ENABLE_COMPILATION_CACHE=false`` switches it off.
    """
    if "jax" not in sys.modules:
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", WORTH_KEEPING_S)
        os.environ.setdefault(
            "JAX_COMPILATION_CACHE_DIR", str(cache_folder())
        )  # JAX reads it when it is imported
        return
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))


def cache_folder() -> Path:
    """Return the folder: one for each kind of processor, for a home may be shared between machines."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "redflower" / f"compiled-{processor()}"


def never_compiled() -> bool:
    """Return whether no program is kept yet, so that the first use of each will wait for the compiler."""
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache_folder())
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return True


def processor() -> str:
    """Return a short digest of the processor's architecture and features, which compiled programs depend on."""
    features = platform.machine() + platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass  # not Linux: architecture and name must do
    return hashlib.sha256(features.encode()).hexdigest()[:10]
