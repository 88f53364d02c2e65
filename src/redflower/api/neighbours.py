"""Several fits of one region, each borrowing from its neighbours."""

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np

from redflower.errors import InputError
from redflower.products.finished_fit import FinishedFit, finished_fit
from redflower.products.neighbours import NeighboursResult, neighbours_result
from redflower.products.sightline import SightlineResult
from redflower.progress import ShowProgress, shown
from redflower.provenance import VERSION
from redflower.seeds import check_seed
from redflower.sightline.neighbours import share_distances
from redflower.sightline.shared_density import SharingSettings
from redflower.sky_patch import angle_of_chord, unit_vectors

#: Sheets of dust change their distance over a region: farther from each other, sightlines are no neighbours. [deg]
WITHIN_DEG: Final = 10.0
#: What fits must have been made with alike: what messages call it, and where it stands in a fit's provenance. The distances in
#: which clouds were looked for may differ, for each fit's own range is divided out.
_ALIKE: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "prior of the dust": lambda made: {k: v for k, v in made["prior"].items() if k != "distance_pc"},
    "largest number of clouds": lambda made: made["max_clouds"],
    "distance prior of the stars (--flat-distances)": lambda made: made["flat_distances"],
    "model": lambda made: made["input"].get("model", {}).get("id"),
    "extinction law": lambda made: made["input"].get("model", {}).get("law"),
    "photometric scale": lambda made: made["input"].get("photometry"),
    "bands": lambda made: made["input"].get("without_bands"),
    "reddening prior of the stars": lambda made: made["input"].get("ebv_prior_mag"),
}


def combine_sightlines(
    fits: Sequence[SightlineResult | str | Path],
    *,
    within_deg: float = WITHIN_DEG,
    settings: SharingSettings | None = None,
    seed: int = 0,
    progress: ShowProgress = None,
) -> NeighboursResult:
    """Combine finished fits of neighbouring sightlines: odds and clouds of each, once clouds share a density of distance.

    No star is fitted again: the draws of each fit are weighted anew (ES18, ES19; Hogg, Myers & Bovy 2010, ApJ 725, 2166).

    Parameters
    ----------
    fits : two or more, each what `redflower.sightline` returned or the folder that `redflower sightline` wrote. No star may be in
        two of them.
    within_deg : no two sightlines may be farther from each other. [deg]
    settings : widths of the kernels and effort of the sampler; see `redflower.sightline.SharingSettings`.
    seed : of the random numbers.
    progress : whether to show it, or what to call with the number of chains done. Defaults to showing it on
        a terminal and in a notebook.

    Returns
    -------
    Tables of odds and clouds of each sightline, before and after (distances in pc, E(B-V) in mag), the shared density of
    distance, the draws with their weights, and a summary in plain numbers, which says which sightlines are not to be trusted.

    Raises
    ------
    InputError
        If there are fewer than two fits, one is damaged or lacks its draws, they were made with different priors, models or
        photometric scales, share stars, are too far from each other on the sky, or searched different distances.

    Examples
    --------
    >>> import redflower
    >>> from redflower.sightline import TemperingSettings
    >>> quick = TemperingSettings(n_particles=40, n_moves=2, n_final=4)
    >>> posteriors = redflower.read_table("posteriors.parquet")
    >>> parts = [posteriors[:20], posteriors[20:]]
    >>> fits = [redflower.sightline(part, max_clouds=1, settings=quick) for part in parts]
    >>> combined = redflower.combine_sightlines(fits)
    >>> combined.odds.colnames[:4]
    ['sightline', 'n_clouds', 'probability_before', 'probability']
    """
    check_seed(seed)
    if len(fits) < 2:
        raise InputError(
            f"neighbours needs the fits of at least two sightlines; got {len(fits)}. Fit further cones of the region."
        )
    found = [finished_fit(fit, name) for fit, name in zip(fits, _names(fits), strict=True)]
    _check_alike(found)
    _check_different_stars(found)
    apart_deg = _check_near(found, within_deg)
    settings = settings or SharingSettings()
    with shown(progress, "chains", settings.n_chains) as call:
        shared = share_distances([fit.draws for fit in found], np.random.default_rng(seed), settings, call)
    provenance = {
        "stage": "neighbours",
        "redflower": VERSION,
        "seed": seed,
        "within_deg": within_deg,
        "largest_separation_deg": apart_deg,
        "settings": vars(settings).copy(),
        "inputs": {fit.name: fit.numbers["provenance"] for fit in found},
    }
    return neighbours_result(found, shared, provenance)


def _names(fits: Sequence[SightlineResult | str | Path]) -> list[str]:
    """Call each fit by its folder, by the whole path where two folders have one name, and results by their number."""
    short = [
        f"sightline {k}" if isinstance(fit, SightlineResult) else Path(fit).resolve().name
        for k, fit in enumerate(fits, start=1)
    ]
    return [str(fit) if short.count(name) > 1 else name for fit, name in zip(fits, short, strict=True)]


def _check_alike(fits: Sequence[FinishedFit]) -> None:
    """Refuse fits of different priors, models or photometric scales, and fits without any cloud."""
    for fit in fits:
        if not fit.draws.n_clouds.any():
            raise InputError(
                f"neighbours borrow distances of clouds; {fit.name} was fitted with none (--max-clouds 0). Fit it with clouds."
            )
    for what, of in _ALIKE.items():
        try:
            values = [json.dumps(of(fit.numbers["provenance"]), sort_keys=True, default=str) for fit in fits]
        except (LookupError, TypeError, AttributeError, ValueError) as problem:
            raise InputError(
                f"the provenance of every fit must say its {what}; another program changed one. Fit that sightline again."
            ) from problem
        other = next((k for k, value in enumerate(values) if value != values[0]), None)
        if other is not None:
            one, two = _difference(json.loads(values[0]), json.loads(values[other]))
            raise InputError(
                f"neighbours must be fitted with the same {what}; {fits[0].name} has {one}, {fits[other].name} has {two}. Fit "
                "one of them again as the other was, or leave it out."
            )


def _difference(one: Any, two: Any) -> tuple[str, str]:
    """Say in what two settings differ: of settings by name, the first that is not the same."""
    if isinstance(one, dict) and isinstance(two, dict):
        name = next(key for key in sorted({*one, *two}) if one.get(key) != two.get(key))
        return f"{name} = {one.get(name)}", f"{name} = {two.get(name)}"
    return str(one), str(two)


def _check_different_stars(fits: Sequence[FinishedFit]) -> None:
    """Refuse fits that share stars, whose data would count twice."""
    for one, two in combinations(fits, 2):
        both = np.intersect1d(one.source_id, two.source_id)
        if len(both):
            raise InputError(
                f"no star may be in two fits, for it would count twice; {one.name} and {two.name} share {len(both):,} of "
                f"{len(one.source_id):,} and {len(two.source_id):,} stars, such as {both[0]}. Leave one fit out, or take cones "
                "that do not overlap."
            )


def _check_near(fits: Sequence[FinishedFit], within_deg: float) -> float:
    """Return the largest separation of two sightlines, or refuse it. [deg]"""
    if not 0.0 < within_deg <= 180.0:
        raise InputError(f"neighbours: within_deg must be above 0 and at most 180 deg; got {within_deg:g}.")
    places_deg = []
    for fit in fits:
        if fit.place_deg is None:
            raise InputError(
                f"neighbours are told by their positions; the stars of {fit.name} have none. Keep the columns l and b of the "
                "posteriors, and fit the sightline again."
            )
        places_deg.append(fit.place_deg)
    v = unit_vectors(*np.transpose(places_deg))
    apart_deg = angle_of_chord(np.linalg.norm(v[:, None] - v, axis=-1))
    one, two = divmod(int(np.argmax(apart_deg)), len(fits))
    most = float(apart_deg[one, two])
    if most > within_deg:
        raise InputError(
            f"neighbours must be within {within_deg:g} deg of each other; {fits[one].name} and {fits[two].name} are {most:.1f} "
            "deg apart. Leave one out, or allow more with --within (within_deg in Python)."
        )
    return most
