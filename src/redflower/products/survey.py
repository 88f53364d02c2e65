"""The folder of figures of a prepared sample."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from redflower.catalogue import PreparedStars, QualityLimits, write_table
from redflower.plot import colour_relations_figure, coverage_figure, malmquist_figure, ruwe_figure, sky_figure
from redflower.plot.style import save_figure

if TYPE_CHECKING:
    from redflower.physics import SelectionFunction

FIGURES: Final = ("colour-relations", "coverage", "ruwe", "malmquist", "sky")
TABLE: Final = "table-1.ecsv"
ENDINGS: Final = ("png", "pdf")


def figure_files() -> list[str]:
    """List the names of all files that `write_figures` may write."""
    return [*(f"{name}.{ending}" for name in FIGURES for ending in ENDINGS), TABLE]


def write_figures(
    folder: Path,
    prepared: PreparedStars,
    limits: QualityLimits,
    ebv_max_mag: float,
    selection: "SelectionFunction | None",
) -> None:
    """Write the sample's figures (the paper, Figures 2, 5, 6, 7 and 8) as PNG and PDF, and its Table 1 as ECSV."""
    folder.mkdir(parents=True, exist_ok=True)
    table = prepared.table
    drawn = (
        colour_relations_figure(table),
        coverage_figure(table),
        ruwe_figure(table, limit=limits.ruwe_max),
        malmquist_figure(table, g_bright_mag=limits.g_bright_mag, g_faint_mag=limits.g_faint_mag),
        sky_figure(table, dust=prepared.dust, ebv_max_mag=ebv_max_mag, selection=selection),
    )
    for name, figure in zip(FIGURES, drawn, strict=True):
        for ending in ENDINGS:
            save_figure(figure, folder / f"{name}.{ending}")
    if prepared.report.summary is not None:
        write_table(prepared.report.summary.table(), folder / TABLE)
