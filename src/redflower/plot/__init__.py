"""Figures. Functions take results and return a matplotlib figure; nothing is computed here."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.plot.diagram import colour_magnitude_figure as colour_magnitude_figure
    from redflower.plot.profile import reddening_distance_figure as reddening_distance_figure
    from redflower.plot.style import style as style
    from redflower.plot.survey_coverage import coverage_figure as coverage_figure
    from redflower.plot.survey_coverage import malmquist_figure as malmquist_figure
    from redflower.plot.survey_sample import colour_relations_figure as colour_relations_figure
    from redflower.plot.survey_sample import ruwe_figure as ruwe_figure
    from redflower.plot.survey_sky import sky_figure as sky_figure

lazy_names(__name__)
