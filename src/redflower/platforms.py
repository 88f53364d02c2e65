"""The platform on which JAX computes."""

import os

import jax

from redflower.errors import InputError


def compute_platform() -> str:
    """The platform on which JAX computes: cpu, gpu or tpu.

    Raises
    ------
    InputError
        If the one that it is asked for (``JAX_PLATFORMS``) is not there.
    """
    try:
        return str(jax.default_backend())
    except (RuntimeError, AssertionError) as problem:  # the latter where no plugin of that name is installed
        asked = os.environ.get("JAX_PLATFORMS") or getattr(jax.config, "jax_platforms", None) or "by default"
        why = f" ({str(problem).splitlines()[0]})" if str(problem) else ""
        raise InputError(
            f"JAX has no platform {asked!r} on this machine{why}. Leave JAX_PLATFORMS unset or set it to cpu, or install JAX for "
            "that device."
        ) from None
