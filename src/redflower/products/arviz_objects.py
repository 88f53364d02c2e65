"""Posterior draws as ArviZ objects, with dimensions, coordinates and units.

ArviZ is the extra ``arviz``; nothing else of redflower needs it.
"""

import importlib
from typing import Any, Final

import numpy as np
from jaxtyping import Int, Shaped

from redflower.distances import distance_from_modulus
from redflower.errors import InputError
from redflower.provenance import VERSION
from redflower.sightline import SightlineFit

#: Unit and description of every variable.
_CLOUDS: Final[dict[str, tuple[str, str]]] = {
    "distance": ("pc", "distance of the cloud"),
    "ebv": ("mag", "mean E(B-V) of the cloud, SFD scale"),
    "patchiness": ("", "relative scatter of the cloud's E(B-V) from star to star"),
    "foreground": ("mag", "E(B-V) in front of all clouds, zero point of the stars' reddenings included"),
    "drift": ("mag / mag", "change of the zero point with distance modulus"),
    "scatter": ("mag", "scatter of E(B-V) that all stars share"),
    "outlier_share": ("", "share of the stars whose reddening says nothing"),
}
_STARS: Final[dict[str, tuple[str, str]]] = {
    "ebv": ("mag", "E(B-V), SFD scale"),
    "distance": ("pc", "distance"),
    "distance_modulus": ("mag", "distance modulus"),
    "bp_rp": ("mag", "intrinsic BP - RP"),
    "unreddened_g": ("mag", "apparent G without the dust"),
    "flow_chi2": ("", "squared length in the flow's normal coordinates"),
    "lp": ("", "natural log of the posterior density in whitened coordinates"),
    "diverging": ("", "whether the trajectory that ended there diverged"),
    "n_steps": ("", "leapfrog steps of the trajectory"),
}
_SAMPLE_STATS: Final = ("lp", "diverging", "n_steps")


def cloud_inference_data(fit: SightlineFit, n_clouds: int | None = None) -> Any:
    """Return the draws of a sightline's dust for one number of clouds, as an `arviz.InferenceData`.

    Parameters
    ----------
    fit : from `redflower.sightline(...).fit`.
    n_clouds : the number of clouds. Defaults to the most probable one.

    Returns
    -------
    The group ``posterior`` with the dimensions (chain, draw) and, for what each cloud has, ``cloud``: 1, 2, ... in the order
    of distance. The draws are equally weighted and come from tempered sequential Monte Carlo, so that there is one chain
    and its autocorrelation says nothing. The evidence and the probability of the number of clouds are attributes.

    Raises
    ------
    InputError
        If the fit has no such number of clouds, or ArviZ is not installed.
    """
    numbers = [model.n_clouds for model in fit.models]
    wanted = fit.best.n_clouds if n_clouds is None else n_clouds
    if wanted not in numbers:
        raise InputError(
            f"the fit compared {numbers[0]} to {numbers[-1]} clouds; n_clouds = {wanted} is not among them."
        )
    model = fit.models[numbers.index(wanted)]
    draws = model.draws
    values = {
        "foreground": draws.foreground_mag, "scatter": draws.scatter_mag, "outlier_share": draws.outlier_share,
    }  # fmt: skip
    if fit.prior.drift_std > 0:
        values["drift"] = draws.drift
    if wanted:
        values |= {
            "distance": distance_from_modulus(draws.modulus_mag),
            "ebv": draws.ebv_mag,
            "patchiness": draws.patchiness,
        }
    return _inference_data(
        {name: np.asarray(value)[None] for name, value in values.items()},
        _CLOUDS,
        dims={name: ["cloud"] for name in ("distance", "ebv", "patchiness")},
        coords={"cloud": np.arange(1, wanted + 1)},
        attrs={
            "n_clouds": wanted,
            "probability": model.probability,
            "log_evidence": model.log_evidence,
            "log_evidence_error": model.log_evidence_error,
            "n_stars": fit.n_stars,
        },
    )


def star_inference_data(
    source_id: Int[np.ndarray, " star"],
    chains: dict[str, Shaped[np.ndarray, "star chain draw"]],
    attrs: dict[str, Any],
) -> Any:
    """Return the chains of stars as an `arviz.InferenceData`; the coordinate of the dimension ``star`` is ``source_id``.

    Parameters
    ----------
    source_id : of the stars.
    chains : from `redflower.posterior.nuts.chains.chains_of_stars`.
    attrs : of the groups: model, reddening prior and the like.
    """
    values = {name: np.moveaxis(value, 0, -1) for name, value in chains.items()}
    values["distance"] = distance_from_modulus(values["distance_modulus"].astype(np.float64))
    return _inference_data(
        values, _STARS, dims=dict.fromkeys(values, ["star"]), coords={"star": source_id}, attrs=attrs
    )


def _inference_data(
    values: dict[str, np.ndarray],
    described: dict[str, tuple[str, str]],
    *,
    dims: dict[str, list[str]],
    coords: dict[str, np.ndarray],
    attrs: dict[str, Any],
) -> Any:
    try:
        arviz = importlib.import_module("arviz")
    except ImportError:
        raise InputError(
            "ArviZ objects need the package arviz, which is not installed: pip install 'redflower[arviz]'."
        ) from None
    groups: dict[str, dict[str, np.ndarray]] = {"posterior": {}, "sample_stats": {}}
    for name, value in values.items():
        groups["sample_stats" if name in _SAMPLE_STATS else "posterior"][name] = value
    data = arviz.from_dict(
        **{name: group for name, group in groups.items() if group},
        dims={name: dims[name] for name in values if name in dims},
        coords=coords,
    )
    for group in data.groups():
        data[group].attrs.update({"redflower": VERSION} | attrs)
        for name in data[group].data_vars:
            unit, text = described[name]
            data[group][name].attrs.update({"long_name": text} | ({"units": unit} if unit else {}))
    return data
