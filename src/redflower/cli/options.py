"""Options that several commands read alike."""

from typing import Final


def listed(text: str | None) -> tuple[str, ...]:
    """Return the names in a text that parts them by commas; none of None."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


#: Of --workers.
WORKERS_HELP: Final = (
    "Processes that share the work, with the cores divided among them; by default one for every core where the work is long "
    "enough to pay for their start"
)
