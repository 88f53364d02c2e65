"""The quantiles that every table states: their labels and levels."""

from typing import Final

#: Label of the column -> level.
QUANTILES: Final[dict[str, float]] = {"q05": 0.05, "q16": 0.16, "q50": 0.50, "q84": 0.84, "q95": 0.95}

#: The levels alone, rising.
LEVELS: Final[tuple[float, ...]] = tuple(QUANTILES.values())


def summary_columns() -> dict[str, str]:
    """Return what tables state of a quantity: the ending of each column's name, and what it holds."""
    quantiles = {f"_{label}": f"{percent(level)} quantile" for label, level in QUANTILES.items()}
    return {"": "posterior mean", "_std": "standard deviation", **quantiles}


def percent(level: float) -> str:
    """Return a level as it is written in descriptions, such as 5 %."""
    return f"{100 * level:.0f} %"
