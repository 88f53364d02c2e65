"""Traced programs kept between runs: tracing one takes seconds of Python, reading it back a tenth of one.

Beside JAX's own cache of compiled programs. A kept program is StableHLO as `jax.export` writes it: it is parsed, never unpickled,
and has a checksum. Its name is a digest of all that it depends on: the sources of redflower, the versions of what traces and
compiles, JAX's settings, and the types, shapes and constants of its arguments. Weights of models are arguments. Whatever cannot
be kept so, or read back, is traced as always.
"""

import dataclasses
import hashlib
import logging
import os
import typing
from collections.abc import Callable, Sequence
from functools import cache, wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from redflower.files import written_whole
from redflower.provenance import VERSION

_LOG: Final = logging.getLogger(__name__)
_ROOT: Final = Path(__file__).parent
_PACKAGES: Final = ("jax", "jaxlib", "equinox", "numpy")
#: At the head of a file, before the checksum of what follows.
_HEAD: Final = b"redflower-program-1\n"
#: No program is as large as this. [byte]
_MOST_BYTES: Final = 50_000_000
#: Arguments that are no arrays may be of these types: their text says all that they are.
_PLAIN: Final = (bool, int, float, str, type(None))
#: Switches it off where it is 0.
SWITCH: Final = "REDFLOWER_KEEP_PROGRAMS"


def kept_program(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function as `equinox.filter_jit` does, and keep its traced program.

    Parameters
    ----------
    function : of trees of arrays and plain constants; its annotation says what it returns: arrays, named tuples of them, tuples.
    """
    import equinox as eqx

    usual = eqx.filter_jit(function)
    known: dict[Any, Callable[..., Any] | None] = {}

    @wraps(function)
    def call(*arguments: Any) -> Any:
        import jax

        folder = _folder()
        if folder is None:
            return usual(*arguments)
        arrays, constants = eqx.partition(arguments, eqx.is_array)
        leaves, tree = jax.tree.flatten(arrays)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return usual(*arguments)
        others, other_tree = jax.tree.flatten(constants)
        key = (tree, other_tree, tuple(map(repr, others)), tuple((a.shape, str(a.dtype)) for a in leaves))
        if key not in known:
            known[key] = _program(function, arguments, leaves, folder)
        program = known[key]
        return usual(*arguments) if program is None else program(leaves)

    return call


def _program(
    function: Callable[..., Any], arguments: tuple[Any, ...], leaves: Sequence[Any], folder: Path
) -> Callable[..., Any] | None:
    """Read a program, or trace and keep it; None if it cannot be kept."""
    import equinox as eqx
    import jax
    from jax import export

    arrays, constants = eqx.partition(arguments, eqx.is_array)
    tree = jax.tree.structure(arrays)
    others, other_tree = jax.tree.flatten(constants)
    said = f"{tree}\n{other_tree}\n{others!r}"
    if not all(map(_is_plain, others)) or " at 0x" in said or "..." in said:
        return None
    result = jax.tree.structure(_template(typing.get_type_hints(function)["return"]))
    name = f"{function.__module__}.{function.__qualname__}"
    shapes = [(leaf.shape, str(leaf.dtype), bool(getattr(leaf, "weak_type", False))) for leaf in leaves]
    digest = hashlib.sha256(f"{name}\n{said}\n{shapes}\n{_circumstances()}".encode()).hexdigest()
    path = folder / f"{function.__name__}-{digest[:40]}.program"

    def flat(*values: Any) -> list[Any]:
        found = function(*eqx.combine(jax.tree.unflatten(tree, values), constants))
        if str(jax.tree.structure(found)) != str(result):
            raise TypeError(f"{name} returns {jax.tree.structure(found)}, and its annotation says {result}")
        return jax.tree.leaves(found)

    try:
        content = _read(path)
        if content is None:
            exported = export.export(jax.jit(flat))(*leaves)
            content = bytes(exported.serialize())
            _write(path, content)
        # Read back in the first process too, so that every process computes the same to the last bit.
        call = jax.jit(export.deserialize(bytearray(content)).call)
    except Exception as problem:  # whatever stands against it, the usual way is there
        _LOG.debug("%s is not kept: %s: %s", name, type(problem).__name__, problem)
        return None
    return lambda values: jax.tree.unflatten(result, call(*values))


def _is_plain(constant: Any) -> bool:
    """Return whether the text of a constant says all that it is: a plain value, or a record of such."""
    if dataclasses.is_dataclass(constant) and not isinstance(constant, type):
        return all(isinstance(getattr(constant, one.name), _PLAIN) for one in dataclasses.fields(constant))
    return isinstance(constant, _PLAIN)


def _template(kind: Any) -> Any:
    """Return a tree of a type: a leaf for every array."""
    import equinox as eqx

    if isinstance(kind, type) and issubclass(kind, eqx.Module):
        hints = typing.get_type_hints(kind)
        return kind(**{one.name: _template(hints[one.name]) for one in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        return kind(*(_template(hints[field]) for field in kind._fields))
    if typing.get_origin(kind) is tuple:
        return tuple(_template(one) for one in typing.get_args(kind))
    return 0


def _folder() -> Path | None:
    """Return where programs are kept: beside JAX's cache, where that is on and the CPU computes."""
    import jax

    kept = jax.config.values.get("jax_compilation_cache_dir")
    is_on = jax.config.values.get("jax_enable_compilation_cache", True) and os.environ.get(SWITCH) != "0"
    return Path(kept) / "redflower" if kept and is_on and jax.default_backend() == "cpu" else None


@cache
def _circumstances() -> str:
    """Return all that a program depends on beside its arguments."""
    import jax

    sources = hashlib.sha256()
    for path in sorted(_ROOT.rglob("*.py")):
        sources.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    names = (
        "jax_enable_x64",
        "jax_default_matmul_precision",
        "jax_default_prng_impl",
        "jax_threefry_partitionable",
    )
    settings = [jax.config.values.get(name) for name in names]
    return f"{VERSION} {sources.hexdigest()} {[_version(name) for name in _PACKAGES]} {settings} {jax.default_backend()}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _read(path: Path) -> bytes | None:
    """Return a kept program; None if there is none, or it is damaged."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    start = len(_HEAD) + 64
    body = content[start:]
    whole = content[:start] == _HEAD + hashlib.sha256(body).hexdigest().encode()
    return body if whole else None


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        part.write_bytes(_HEAD + hashlib.sha256(body).hexdigest().encode() + body)
