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
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Protocol, cast

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
#: Programs that are read side by side. More would make the first one late, which is wanted first.
_READERS: Final = 2
#: Switches it off where it is 0.
SWITCH: Final = "REDFLOWER_KEEP_PROGRAMS"


class Kept(Protocol):
    """A function whose traced program is kept."""

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function does."""

    def read_ahead(self, *arguments: Any, or_make: bool = False) -> Any:
        """Start to compile the program in a thread; return the shapes of its result, or None if there is nothing to do.

        Parameters
        ----------
        arguments : of the call to come; arrays may be `jax.ShapeDtypeStruct`.
        or_make : trace and keep a program that is not kept yet, before this returns. Else it is left to the call.
        """


def kept_program(function: Callable[..., Any]) -> Kept:
    """Compile a function as `equinox.filter_jit` does, and keep its traced program.

    Parameters
    ----------
    function : of trees of arrays and plain constants; its annotation says what it returns: arrays, named tuples of them, tuples.
    """
    import equinox as eqx

    within = eqx.filter_jit(function)
    usual = cache(lambda: eqx.filter_jit(function, compiler_options=_compiler_options()))
    known: dict[Any, Callable[..., Any] | None] = {}
    ahead: dict[Any, Future[Callable[..., Any]]] = {}

    @wraps(function)
    def call(*arguments: Any) -> Any:
        import jax

        folder = _folder()
        asked = _Asked.of(function, arguments)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in asked.leaves):
            return within(*arguments)
        if folder is None:
            return usual()(*arguments)
        key = asked.key()
        if key not in known:
            read = ahead.pop(key, None)
            known[key] = (None if read is None else _waited(read)) or _program(asked, folder)
        program = known[key]
        return usual()(*arguments) if program is None else program(asked.leaves)

    def read_ahead(*arguments: Any, or_make: bool = False) -> Any:
        folder = _folder()
        asked = _Asked.of(function, arguments)
        key = asked.key()
        if folder is None or key in known or key in ahead or (path := asked.path(folder)) is None:
            return None
        content = _read(path)
        if content is None and not or_make:
            return None
        try:
            exported = _exported(content or _traced(asked, path))
            ahead[key] = _readers().submit(asked.compiled, exported)
            return asked.result_shapes(exported)
        except Exception as problem:  # whatever stands against it, the usual way is there
            _LOG.debug("%s is not read ahead: %s: %s", asked.name, type(problem).__name__, problem)
            return None

    call.read_ahead = read_ahead  # type: ignore[attr-defined]
    return cast("Kept", call)


@dataclass(frozen=True)
class _Asked:
    """A call of a function: its arrays, or their shapes, and its constants."""

    function: Callable[..., Any]
    leaves: list[Any]
    tree: Any
    constants: Any

    @classmethod
    def of(cls, function: Callable[..., Any], arguments: tuple[Any, ...]) -> "_Asked":
        import equinox as eqx
        import jax

        arrays, constants = eqx.partition(
            arguments, lambda a: eqx.is_array(a) or isinstance(a, jax.ShapeDtypeStruct)
        )
        return cls(function, *jax.tree.flatten(arrays), constants)

    @property
    def name(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def key(self) -> Any:
        """Return what tells calls apart within a process."""
        import jax

        others, other_tree = jax.tree.flatten(self.constants)
        shapes = tuple((a.shape, str(a.dtype)) for a in self.leaves)
        return self.tree, other_tree, tuple(map(repr, others)), shapes

    def path(self, folder: Path) -> Path | None:
        """Return where the program is kept; None if it cannot be."""
        import jax

        others, other_tree = jax.tree.flatten(self.constants)
        said = f"{self.tree}\n{other_tree}\n{others!r}"
        if not all(map(_is_plain, others)) or " at 0x" in said or "..." in said:
            return None
        shapes = [
            (leaf.shape, str(leaf.dtype), bool(getattr(leaf, "weak_type", False))) for leaf in self.leaves
        ]
        digest = hashlib.sha256(f"{self.name}\n{said}\n{shapes}\n{_circumstances()}".encode()).hexdigest()
        return folder / f"{self.function.__name__}-{digest[:40]}.program"

    def result(self) -> Any:
        """Return the tree of what the function returns."""
        import jax

        return jax.tree.structure(_template(typing.get_type_hints(self.function)["return"]))

    def result_shapes(self, exported: Any) -> Any:
        """Return the shapes of what the function returns."""
        import jax

        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in exported.out_avals]
        return jax.tree.unflatten(self.result(), shapes)

    def flat(self, *values: Any) -> list[Any]:
        """Call the function with a list of arrays, for one."""
        import equinox as eqx
        import jax

        found = self.function(*eqx.combine(jax.tree.unflatten(self.tree, values), self.constants))
        if str(jax.tree.structure(found)) != str(self.result()):
            raise TypeError(
                f"{self.name} returns {jax.tree.structure(found)}, and its annotation says {self.result()}"
            )
        return jax.tree.leaves(found)

    def compiled(self, exported: Any) -> Callable[..., Any]:
        """Compile a program, or read it from JAX's cache, before it is called; in any thread."""
        import jax

        shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in self.leaves]
        return self._of_leaves(_jitted(exported).lower(*shapes).compile())

    def called(self, exported: Any) -> Callable[..., Any]:
        """Return a program that is compiled, or read from JAX's cache, when it is called."""
        return self._of_leaves(_jitted(exported))

    def _of_leaves(self, call: Callable[..., Any]) -> Callable[..., Any]:
        import jax

        result = self.result()
        return lambda values: jax.tree.unflatten(result, call(*values))


def _program(asked: _Asked, folder: Path) -> Callable[..., Any] | None:
    """Read a program, or trace and keep it; None if it cannot be kept."""
    path = asked.path(folder)
    if path is None:
        return None
    try:
        # Read back in the first process too, so that every process computes the same to the last bit.
        return asked.called(_exported(_read(path) or _traced(asked, path)))
    except Exception as problem:  # whatever stands against it, the usual way is there
        _LOG.debug("%s is not kept: %s: %s", asked.name, type(problem).__name__, problem)
        return None


def _traced(asked: _Asked, path: Path) -> bytes:
    """Trace a program and keep it."""
    import jax
    from jax import export

    content = bytes(export.export(jax.jit(asked.flat))(*asked.leaves).serialize())
    _write(path, content)
    return content


def _jitted(exported: Any) -> Any:
    import jax

    return jax.jit(exported.call, compiler_options=_compiler_options())


@cache
def _compiler_options() -> dict[str, bool]:
    """Return how programs are compiled on a CPU: in a way that takes a third less time, where XLA has it; they run as fast."""
    import jax

    if jax.default_backend() != "cpu":
        return {}
    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception as problem:  # another version of XLA: it compiles as it likes to
        _LOG.debug("programs are compiled without %s: %s", options, problem)
        return {}
    return options


def _waited(read: "Future[Callable[..., Any]]") -> Callable[..., Any] | None:
    """Wait for a program that is read ahead; None if it could not be."""
    try:
        return read.result()
    except Exception as problem:  # whatever stands against it, the usual way is there
        _LOG.debug("a program was not read ahead: %s: %s", type(problem).__name__, problem)
        return None


def _exported(content: bytes) -> Any:
    from jax import export

    return export.deserialize(bytearray(content))


@cache
def _readers() -> ThreadPoolExecutor:
    """Return the threads that read programs ahead: XLA reads each on one core."""
    return ThreadPoolExecutor(_READERS, "redflower-programs")


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
