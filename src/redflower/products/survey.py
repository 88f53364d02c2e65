"""The folder of figures of a prepared sample."""

from pathlib import Path

from redflower.catalogue import PreparedStars, QualityLimits, write_table
from redflower.physics import SelectionFunction
from redflower.plot import colour_relations_figure, coverage_figure, malmquist_figure, ruwe_figure, sky_figure


def write_figures(
    folder: Path,
    prepared: PreparedStars,
    limits: QualityLimits,
    ebv_max_mag: float,
    selection: SelectionFunction | None,
) -> None:
    """The sample's figures (the paper, Figures 2, 5, 6, 7 and 8) and its Table 1, each as PNG and PDF, and ECSV."""
    folder.mkdir(parents=True, exist_ok=True)
    table = prepared.table
    drawn = {
        "colour-relations": colour_relations_figure(table),
        "coverage": coverage_figure(table),
        "ruwe": ruwe_figure(table, limit=limits.ruwe_max),
        "malmquist": malmquist_figure(
            table, g_bright_mag=limits.g_bright_mag, g_faint_mag=limits.g_faint_mag
        ),
        "sky": sky_figure(table, dust=prepared.dust, ebv_max_mag=ebv_max_mag, selection=selection),
    }
    for name, figure in drawn.items():
        for ending in ("png", "pdf"):
            figure.savefig(folder / f"{name}.{ending}")
    if prepared.report.summary is not None:
        target = folder / "table-1.ecsv"
        target.unlink(missing_ok=True)
        write_table(prepared.report.summary.table(), target)
