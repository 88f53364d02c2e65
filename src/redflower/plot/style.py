"""One style for all figures: legible in print, the same on every machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl

INK, STARS, MEAN, TRUTH = "#222222", "#7a8ca5", "#c1272d", "#e8a33d"


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib settings within which every figure is drawn."""
    settings = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "legend.frameon": False,
        "figure.dpi": 150,
        "savefig.bbox": "tight",
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context(settings):
        yield
