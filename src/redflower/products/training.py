"""The folder that `redflower train` leaves beside a model: curves, the sample as the flow sees it, one page."""

import json
from dataclasses import asdict
from pathlib import Path

from redflower.files import folder_written_whole
from redflower.flow import Model
from redflower.plot.style import save_figure
from redflower.plot.training import (
    density_diagram_figure,
    sky_density_figure,
    training_coverage_figure,
    training_curves_figure,
    training_ruwe_figure,
)
from redflower.products.page import write_page
from redflower.train import TrainResult


def write_training_report(folder: Path, model: Model, result: TrainResult) -> None:
    """Write figures (PNG and PDF), ``history.json`` and ``report.html``, the folder whole or not at all."""
    figures = {"curves": ("Evidence of the stars, epoch by epoch.", training_curves_figure(result.history))}
    shown = result.diagnostics
    if shown is not None:
        figures |= {
            "diagram": (
                "The training sample, coloured by the density that the flow gives each star at its measured magnitudes and "
                "median distance, per band: stars off the loci should be dark.",
                density_diagram_figure(shown),
            ),
            "coverage": ("Where in the Galaxy the training stars are.", training_coverage_figure(shown)),
            "sky": (
                "Mean log density over the sky. It should have no structure; edges and stripes point to bad photometry.",
                sky_density_figure(shown),
            ),
            "ruwe": ("RUWE of the training stars.", training_ruwe_figure(shown)),
        }
    with folder_written_whole(folder) as part:
        for name, (_, figure) in figures.items():
            for ending in ("png", "pdf"):
                save_figure(figure, part / f"{name}.{ending}", dpi=150)
        history = [asdict(epoch) for epoch in result.history]
        (part / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")
        last_of_stage = [
            epoch
            for epoch, later in zip(result.history, [*result.history[1:], None], strict=True)
            if later is None or later.stage != epoch.stage
        ]
        rows = [
            (
                str(epoch.stage + 1),
                str(epoch.epoch + 1),
                f"{epoch.train_log_evidence:.4f}",
                f"{epoch.validation_log_evidence:.4f}",
                f"{epoch.contrast_strength:.3f}",
                f"{epoch.validation_log_contrast:.2f}",
                f"{epoch.stars_per_s:,.0f}",
            )
            for epoch in last_of_stage
        ]
        write_page(
            part / "report.html",
            title=f"redflower train: {model.name}",
            summary=(
                f"{model.model_id}, {', '.join(model.band_names)}, {model.g_bright_mag:g} < G < {model.g_faint_mag:g}, "
                f"{model.provenance['stars']:,} stars. Held-out ln evidence per star {result.validation_log_evidence:.4f} "
                f"nat; {result.stopped_because}."
            ),
            figures=list(figures.values()),
            tables=[
                (
                    "The last epoch of every stage",
                    (
                        "stage",
                        "epochs",
                        "ln evidence, training",
                        "held out",
                        "lambda",
                        "ln evidence of copies",
                        "stars/s",
                    ),
                    rows,
                )
            ],
            provenance={"model": model.model_id, "config": model.config, **model.provenance},
        )
