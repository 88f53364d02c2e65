"""Options that several commands read alike."""


def listed(text: str | None) -> tuple[str, ...]:
    """Return the names in a text that parts them by commas; none of None."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
