"""Figures. Functions take results and return a matplotlib figure; nothing is computed here."""

from redflower.plot.diagram import colour_magnitude_figure as colour_magnitude_figure
from redflower.plot.profile import reddening_distance_figure as reddening_distance_figure
from redflower.plot.style import style as style
