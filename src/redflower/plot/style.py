"""One style for all figures: legible in print, the same on every machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl

# Told apart by lightness too, so that print in grey and readers who do not see red from green are served.
INK, STARS, MEAN, TRUTH, CLOUDS, SMOOTH = "#222222", "#7a8ca5", "#c1272d", "#e8a33d", "#e3b7a0", "#1b6e8c"

#: For things that are counted: clouds, reddenings.
SERIES = (MEAN, SMOOTH, TRUTH, "#6b4c9a", "#4d7d3a", "#8c564b", "#444444", "#c26fb0")


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib settings within which every figure is drawn."""
    settings = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlesize": 9.5,
        "legend.frameon": False,
        "figure.dpi": 150,
        "savefig.bbox": "tight",
        "figure.constrained_layout.use": True,
        "pdf.fonttype": 42,
    }
    with mpl.rc_context(settings):
        yield
