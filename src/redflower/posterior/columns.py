"""The columns of an inference table: names, units and descriptions."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from redflower.quantiles import QUANTILES, percent

#: The columns of `infer_stars` that are NaN where nothing was inferred.
FLOAT_COLUMNS: Final = (
    *(f"{name}_{label}" for name in ("ebv", "distance") for label in ("mean", "std", *QUANTILES)),
    "ebv_distance_corr",
    "log_evidence",
    "ess",
    "pareto_k",
    "r_hat",
    "p_fit",
    "parallax_residual",
    "p_outlier",
)

#: Size of a step of the stored log density, and the step that stands for "nothing here". [nat]
STEP_NAT: Final = 0.1
EMPTY: Final = 255

#: The columns in which an inference table holds the densities, with units and descriptions.
DENSITY_COLUMNS: Final[dict[str, tuple[str | None, str]]] = {
    "density_ebv_start": ("mag", "first node of E(B-V) of the joint density"),
    "density_ebv_step": ("mag", "spacing of its nodes of E(B-V)"),
    "density_modulus_start": ("mag", "first node of the distance modulus of the joint density"),
    "density_modulus_step": ("mag", "spacing of its nodes of the distance modulus"),
    "density": (
        None,
        f"joint density, steps of {STEP_NAT} nat below its peak, {EMPTY} for none: [modulus, E(B-V)]",
    ),
}

_DESCRIPTIONS = {
    "mean": "posterior mean",
    "std": "posterior standard deviation",
    **{
        label: "median" if level == 0.5 else f"{percent(level)} quantile"
        for label, level in QUANTILES.items()
    },
}
#: Unit and description of every column of `infer`'s table that has them.
OUTPUT_COLUMNS: dict[str, tuple[str | None, str]] = {
    **{f"ebv_{k}": ("mag", f"E(B-V), {v}") for k, v in _DESCRIPTIONS.items()},
    **{f"distance_{k}": ("pc", f"distance, {v}") for k, v in _DESCRIPTIONS.items()},
    "ebv_distance_corr": (None, "posterior correlation of E(B-V) and distance"),
    "log_evidence": (
        None,
        "natural log of the evidence: quadrature and importance weights, or bridge sampling (nuts)",
    ),
    "bands": (None, "bands used"),
    "model": (None, "model id"),
    "engine": (
        None,
        "what settled the star: fast (quadrature), importance (weighted draws) or nuts (chains)",
    ),
    "ess": (
        None,
        "effective draws: of the check's weights (fast), of the places weighted (importance), of the chains (nuts)",
    ),
    "pareto_k": (None, "tail shape of the importance weights against the exact density; NaN for nuts"),
    "r_hat": (None, "split R-hat, the larger of E(B-V)'s and distance's; NaN without chains"),
    "divergences": (None, "diverging trajectories of the chains"),
    "p_fit": (
        None,
        "probability that a star of the model fits worse (EF7); uniform on the model's own sky, NaN for engine nuts alone",
    ),
    "parallax_residual": (
        None,
        "parallax minus that of one posterior draw, in its errors; standard normal on the model's own sky",
    ),
    "p_outlier": (
        None,
        "probability that the star is not of the model's population (E28); NaN without G",
    ),
    "status": (None, "one word: ok, or why to look twice"),
    "flags": (None, "bit mask, see redflower.posterior.Flag"),
}
#: Columns that `infer` adds with the densities: the distance prior that they hold (docs/explanation/model.md, E13).
PRIOR_COLUMNS: dict[str, tuple[str | None, str]] = {
    "prior_log_length": (None, "distance prior: natural log of its length scale in pc"),
    "prior_alpha": (None, "distance prior: exponent alpha"),
    "prior_beta": (None, "distance prior: exponent beta"),
}
#: Likewise the reddening prior (E14), the same for all stars of a run: a fit needs it, and provenance is easily lost.
EBV_PRIOR_COLUMNS: dict[str, tuple[str | None, str]] = {
    "prior_ebv_min": ("mag", "reddening prior: lower end"),
    "prior_ebv_max": ("mag", "reddening prior: upper end"),
}
PRIOR_FIELDS = {
    "prior_log_length": "prior_log_length_pc",
    "prior_alpha": "prior_alpha",
    "prior_beta": "prior_beta",
}


def quantile_columns(values: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Spread arrays of quantiles over their columns."""
    out: dict[str, np.ndarray] = {}
    for name, array in values.items():
        if name.endswith("_quantiles"):
            stem = name.removesuffix("_quantiles")
            out |= {f"{stem}_{label}": np.asarray(array)[:, i] for i, label in enumerate(QUANTILES)}
        else:
            out[name] = np.asarray(array)
    return out
