"""The surveys that come with redflower, and those of a user's files.

One file in ``data/surveys`` describes one survey, or one release of it where releases differ in their columns. A user's own file
is read in the same way.
"""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path

from redflower.entries import TEXT_MAX
from redflower.errors import InputError
from redflower.survey import Survey
from redflower.survey_file import make_survey


def shipped_surveys() -> dict[str, Survey]:
    """Return the surveys that come with redflower, by name.

    Examples
    --------
    >>> [band.label for band in shipped_surveys()["allwise"].bands]
    ['W1', 'W2']
    """
    return dict(_shipped())


def survey_named(name_or_path: "str | Path") -> Survey:
    """Return a shipped survey, or read a file that describes one.

    Parameters
    ----------
    name_or_path : a name of `shipped_surveys`, or a TOML file.

    Returns
    -------
    The survey.

    Raises
    ------
    InputError
        If there is no such survey or file, or the file says what cannot be.

    Examples
    --------
    >>> survey_named("sdss").survey
    'sdss'
    """
    text = str(name_or_path)
    if text in _shipped():
        return _shipped()[text]
    path = Path(name_or_path)
    if path.suffix.lower() != ".toml":
        raise InputError(
            f"--survey {text!r}: redflower knows {', '.join(_shipped())}; any other is described in a file that ends in .toml "
            "(`redflower surveys allwise --show` prints one to start from)."
        )
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise InputError(f"--survey {path} cannot be read: {problem.strerror or problem}.") from None
    except (ValueError, RecursionError) as problem:
        raise InputError(f"--survey {path} is not valid TOML: {str(problem)[:TEXT_MAX]}.") from None
    return make_survey(content, path.stem, f"--survey {path}", path.parent)


def survey_text(name: str) -> str:
    """Return the file of a shipped survey."""
    return (resources.files("redflower") / "data" / "surveys" / f"{name}.toml").read_text("utf-8")


@cache
def _shipped() -> dict[str, Survey]:
    folder = resources.files("redflower") / "data" / "surveys"
    names = sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )
    order = {name: i for i, name in enumerate(("gaia", "ps1", "2mass", "allwise"))}
    return {
        name: make_survey(tomllib.loads(survey_text(name)), name, f"data/surveys/{name}.toml")
        for name in sorted(names, key=lambda name: order.get(name, len(order)))
    }
