"""Public names of a package, imported when they are asked for (PEP 562), so that a command imports what it needs."""

import ast
import importlib
import sys
from pkgutil import iter_modules
from types import ModuleType
from typing import Any


def lazy_names(package: str) -> None:
    """Let a package import its public names, those under ``if TYPE_CHECKING:``, when each is first asked for; list them.

    What a type checker sees is what is there: the names are read from the package's own source. Where a name is also that of
    a file or folder of the package, such as `redflower.train`, it means the public name, whatever has been imported.

    Parameters
    ----------
    package : its ``__name__``.
    """
    module = sys.modules[package]
    places = _imports_for_types(module)
    inside = {found.name for found in iter_modules(module.__path__)}

    class LazyPackage(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name not in places:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            where, original = places[name]
            value = getattr(importlib.import_module(where), original)
            if name not in inside:
                self.__dict__[name] = value
            return value

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *places})

    for name in inside & set(places):
        setattr(LazyPackage, name, _public_name(name))
    module.__dict__["__all__"] = sorted(places)
    module.__class__ = LazyPackage


def _public_name(name: str) -> property:
    """Make a name that the import of a submodule of the same name cannot take."""

    def get(package: Any) -> Any:
        return package.__dict__.get(name) or package.__getattr__(name)

    def put(package: Any, value: Any) -> None:
        if not isinstance(value, ModuleType):
            package.__dict__[name] = value

    def remove(package: Any) -> None:
        del package.__dict__[name]

    return property(get, put, remove)


def _imports_for_types(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Read the imports under ``if TYPE_CHECKING:`` of a package: name -> module, and the name there."""
    loader = module.__spec__.loader if module.__spec__ else None
    source = loader.get_source(module.__name__) if loader else None  # type: ignore[attr-defined]
    if source is None:
        raise ImportError(
            f"{module.__name__} is installed without its source, from which its names are read."
        )
    places: dict[str, tuple[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    places |= {a.asname or a.name: (line.module, a.name) for a in line.names}
    return places
