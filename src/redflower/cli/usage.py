"""One message where a command is typed wrongly: what was asked, what must hold, what arrived, what to do."""

import difflib
from collections.abc import Sequence
from typing import Any

_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def is_usage_error(error: BaseException) -> bool:
    """Return whether the command line itself was wrong. Typer's own classes stand in other places in each of its versions."""
    return hasattr(error, "format_message") and hasattr(error, "ctx")


def is_empty(error: BaseException) -> bool:
    """Return whether nothing was asked, which typer has answered with the help."""
    return type(error).__name__ == "NoArgsIsHelpError"


def usage_message(error: Any) -> str:
    """Say what is wrong with a command line.

    Parameters
    ----------
    error : what typer raised, for which `is_usage_error` holds.
    """
    context = error.ctx
    command = "" if context is None else " ".join(str(context.command_path).split()[1:])
    help_line = f"See `redflower {command} --help`." if command else "See `redflower --help`."
    kind = type(error).__name__
    if kind == "MissingParameter" and error.param is not None:
        said = f"{_said(command)} needs {_name(error.param)}: {_explained(error.param)}"
    elif kind == "NoSuchOption":
        said = f"{_said(command)} has no option {error.option_name}.{_meant(error.possibilities)}"
    elif kind == "BadParameter" and error.param is not None:
        said = f"{_called(command, error)}: {_must(error)}."
    elif "No such command" in error.format_message():
        typed = error.format_message().split("'")[1]
        known = sorted(context.command.commands)
        near = difflib.get_close_matches(typed, known, n=3)
        said = f"there is no command {typed!r}." + (_meant(near) or f" There are {', '.join(known)}.")
    else:
        said = f"{_said(command)}: {_lower(error.format_message())}"
    return f"{said if said.endswith(('.', '?')) else f'{said}.'} {help_line}"


def _said(command: str) -> str:
    return command or "redflower"


def _name(param: Any) -> str:
    """Return how a user types a parameter: --option, or ARGUMENT."""
    return param.opts[0] if param.param_type_name == "option" else str(param.name).upper()


def _explained(param: Any) -> str:
    """Say what a parameter is for, and what it may be."""
    choices = _choices(param)
    what = str(getattr(param, "help", "") or "").split(" [")[0].rstrip(".")
    if choices:
        what = f"{what}; one of {', '.join(choices)}" if what else f"one of {', '.join(choices)}"
    return f"{_lower(what)}." if what else "it must be given."


def _called(command: str, error: Any) -> str:
    """Return the command with the parameter and the value that arrived."""
    arrived = _arrived(error)
    name = _name(error.param)
    return f"{_said(command)} {name}" if arrived is None else f"{_said(command)} {name} {arrived}"


def _arrived(error: Any) -> str | None:
    """Return the value as it was typed; None where typer does not tell it."""
    cause = error.__cause__
    if cause is not None and hasattr(cause, "errors"):
        return str(cause.errors()[0]["input"])
    return None


def _must(error: Any) -> str:
    """Say what must hold for a value."""
    param = error.param
    choices = _choices(param)
    if choices:
        return f"it must be one of {', '.join(choices)}"
    low, high = getattr(param, "min", None), getattr(param, "max", None)
    kind = _KINDS.get(_annotation(param))
    if low is not None and high is not None:
        limits = f"from {low:g} to {high:g}"
    elif low is not None:
        limits = f"of at least {low:g}"
    elif high is not None:
        limits = f"of at most {high:g}"
    else:
        limits = ""
    if kind is None:
        return _lower(error.message).rstrip(".")
    return f"it must be {kind} {limits}".rstrip()


def _annotation(param: Any) -> Any:
    """Return the type of a parameter's values; None where typer does not tell it."""
    return getattr(getattr(param, "type_descriptor", None), "annotation", None)


def _choices(param: Any) -> tuple[str, ...]:
    """Return the values that a parameter may have, where they are named."""
    for holder in ("type_descriptor", "type"):
        choices = getattr(getattr(param, holder, None), "choices", None)
        if choices:
            return tuple(str(getattr(one, "value", one)) for one in choices)
    return ()


def _meant(possibilities: Sequence[str] | None) -> str:
    return f" Did you mean {' or '.join(sorted(possibilities))}?" if possibilities else ""


def _lower(text: str) -> str:
    """Begin a text in the middle of a sentence, unless its first word is a name."""
    first = text.split(" ", 1)[0]
    return text if len(first) > 1 and first[1:] != first[1:].lower() else text[:1].lower() + text[1:]
