"""Options that several commands read alike."""

from typing import Final


def listed(text: str | None) -> tuple[str, ...]:
    """Return the names in a text that parts them by commas; none of None."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


#: Of --law and --without.
LAW_HELP: Final = (
    "Extinction law in place of the model's: zhang23-corrected, zhang23 (as printed), or a .toml or .json file with R of every "
    "band (docs/howto/inference.md)"
)
WITHOUT_HELP: Final = (
    "Bands to leave out of every star, with commas: y or ps1_y; g is Pan-STARRS1's, G Gaia's"
)

#: Of --workers.
WORKERS_HELP: Final = (
    "Processes that share the work, with the cores divided among them; by default one for every core where the work is long "
    "enough to pay for their start"
)

#: Of --resume, where finished pieces are kept.
RESUME_HELP: Final = "Go on with a stopped run: what it finished is not done again"
