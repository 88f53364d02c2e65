"""One style for all figures: legible in print, the same on every machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

# Told apart by lightness too, so that print in grey and readers who do not see red from green are served.
INK, STARS, MEAN, TRUTH, CLOUDS, SMOOTH = "#222222", "#7a8ca5", "#c1272d", "#e8a33d", "#e3b7a0", "#1b6e8c"

#: For things that are counted: clouds, reddenings.
SERIES = (MEAN, SMOOTH, TRUTH, "#6b4c9a", "#4d7d3a", "#8c564b", "#444444", "#c26fb0")


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's own matplotlib settings, whatever the user's are.

    A matplotlibrc with ``text.usetex`` would ask for TeX, and fail where there is none.
    """
    settings = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlesize": 9.5,
        "legend.frameon": False,
        "figure.dpi": 150,
        "figure.constrained_layout.use": True,
        "pdf.fonttype": 42,
    }
    with matplotlib.style.context(["default", settings]):
        yield


def save_figure(figure: Figure, target: Any, **keywords: Any) -> None:
    """Save a figure in the style in which it was drawn: much of a figure is laid out only now.

    Parameters
    ----------
    target, keywords : as of `matplotlib.figure.Figure.savefig`.
    """
    with style():
        figure.savefig(target, **keywords)
