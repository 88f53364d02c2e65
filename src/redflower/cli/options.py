"""Options that several commands read alike."""

from collections.abc import Mapping
from typing import Any, Final

from redflower.errors import InputError


def listed(text: str | None) -> tuple[str, ...]:
    """Return the names in a text that parts them by commas; none of None."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def refuse_options(of: str, given: Mapping[str, Any]) -> None:
    """Refuse options that have no meaning for the input at hand.

    Parameters
    ----------
    of : the input that has no use for them, as the message ends.
    given : options, with what the user gave; None and False are nothing.

    Raises
    ------
    InputError : one was given.
    """
    for name, value in given.items():
        if value is not None and value is not False:
            raise InputError(f"{name} is not for {of}. Leave it out.")


#: Of --law and --without.
LAW_HELP: Final = (
    "Extinction law in place of the model's: zhang23-corrected, zhang23 (as printed), or a .toml or .json file with R of every "
    "band (docs/howto/inference.md)"
)
WITHOUT_HELP: Final = (
    "Bands to leave out of every star, with commas: y or ps1_y; g is Pan-STARRS1's, G Gaia's"
)

#: Of --scheduler.
SCHEDULER_HELP: Final = (
    "HATS only: address of a Dask scheduler, such as tcp://node1:8786, whose workers share the partitions in place of processes "
    "of this machine"
)
#: Of --workers.
WORKERS_HELP: Final = (
    "Processes that share the work, with the cores divided among them; by default one for every core where the work is long "
    "enough to pay for their start"
)

#: Of --resume, where finished pieces are kept.
RESUME_HELP: Final = "Go on with a stopped run: what it finished is not done again"
