"""Clouds of a map of a field: connected places in which dust is added within a short stretch of distance."""

from collections.abc import Iterator
from typing import Final

import astropy.units as u
import numpy as np
from astropy.table import Column, Table
from astropy_healpix import HEALPix
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from redflower.distances import modulus_from_distance
from redflower.errors import InputError
from redflower.products.field_map import FieldMap
from redflower.products.healpix import pixel_centres_deg

#: E(B-V) that a cloud adds in each of its pixels, by default. [mag]
THRESHOLD_MAG: Final = 0.02
#: Pixels that a cloud has at least, by default.
MIN_PIXELS: Final = 3
#: A pixel belongs to a cloud if it exceeds the threshold in more than this share of the samples.
_SURE: Final = 0.8
#: Dust is looked for within stretches of this distance modulus, 45 % in distance, or of the map's step where it is longer. [mag]
_STRETCH_MAG: Final = 0.8


def field_clouds(
    field: FieldMap, *, threshold_mag: float = THRESHOLD_MAG, min_pixels: int = MIN_PIXELS
) -> Table:
    """Find the clouds of a map of a field.

    A pixel has a cloud at a stretch of distance (45 %, or the map's step) if more than the threshold is added there in more than
    80 % of the samples. Neighbouring pixels at the same stretch, and overlapping stretches of a pixel, are one cloud; its dust is
    what is added there and one step of the map to either side.

    Parameters
    ----------
    field : the map.
    threshold_mag : E(B-V) that a cloud adds in each of its pixels. [mag]
    min_pixels : pixels that a cloud has at least.

    Returns
    -------
    A row for each cloud, the one with the most dust first: centre, area, distance and mean E(B-V) over its pixels, each with
    standard deviation and quantiles; whether it reaches the border of the map; and the probability and odds that its mean E(B-V)
    exceeds the threshold, no surer than the number of independent samples allows.

    Raises
    ------
    InputError
        If the threshold is not positive, or min_pixels is below 1.

    Examples
    --------
    >>> import redflower
    >>> import numpy as np
    >>> from redflower.products.field_map import FieldMap
    >>> pixel = np.arange(64)
    >>> samples = np.zeros((50, 64, 3))
    >>> samples[:, :6, 1:] = 0.1
    >>> field = FieldMap(nside=64, pixel=pixel, distance_pc=np.array([200.0, 300.0, 900.0]), samples_mag=samples,
    ...     zero_point_mag=np.zeros((50, 1)), groups=("ALL",), n_star=np.ones(64, int), served=np.ones(64),
    ...     resolution_deg=np.full((64, 3), 0.5), numbers={}, r_hat=np.ones(64))
    >>> clouds = redflower.field_clouds(field)
    >>> len(clouds), int(clouds["n_pixel"][0]), round(float(clouds["ebv_mag"][0]), 3)
    (1, 6, 0.1)
    """
    if not threshold_mag > 0 or min_pixels < 1:
        raise InputError(
            f"clouds of a map need a positive threshold and at least 1 pixel; got {threshold_mag} mag and {min_pixels}."
        )
    nodes, out_to = _from_the_sun(field)
    beside = _neighbours(field.nside, field.pixel)
    rows = [
        _row(field, beside, nodes, out_to, threshold_mag, *cloud)
        for cloud in _members(beside, nodes, out_to, threshold_mag)
        if len(cloud[0]) >= min_pixels
    ]
    rows.sort(key=lambda row: -row["ebv_mag"] * row["area"])
    found = Table()
    for name, unit, text in _COLUMNS:
        kind = bool if name == "at_border" else int if name.startswith("n_") else float
        found[name] = Column([row[name] for row in rows], dtype=kind, unit=unit, description=text)
    found.meta.update({"threshold_mag": threshold_mag, "min_pixels": min_pixels, "map_status": field.status})
    return found


_SPREAD: Final = (("_std", "standard deviation"), ("_q16", "16 % quantile"), ("_q84", "84 % quantile"))
_COLUMNS: Final = (
    ("l", "deg", "Galactic longitude of the centre, weighted by E(B-V)"),
    ("b", "deg", "Galactic latitude of the centre"),
    ("area", "deg2", "area of the pixels"),
    ("n_pixel", None, "pixels"),
    ("n_star", None, "stars in them"),
    ("distance_pc", "pc", "distance within which half of the cloud's dust lies, mean of the samples"),
    *((f"distance_pc{end}", "pc", f"{text} of it") for end, text in _SPREAD),
    ("distance_step_pc", "pc", "step between the map's distances there, below which it is not known"),
    ("ebv_mag", "mag", "E(B-V) that the cloud adds, mean over its pixels and of the samples"),
    *((f"ebv_mag{end}", "mag", f"{text} of it") for end, text in _SPREAD),
    ("at_border", None, "whether it reaches pixels that are not in the map"),
    ("probability", None, "that its mean E(B-V) exceeds the threshold"),
    ("odds", None, "probability over 1 - probability"),
)


def _from_the_sun(field: FieldMap) -> tuple[np.ndarray, np.ndarray]:
    """Return distances [pc] and E(B-V) out to them, from 0 at the Sun to the last distance that is known everywhere."""
    known = np.isfinite(field.samples_mag).all(axis=(0, 1))
    samples = field.samples_mag[:, :, known].astype(float)
    none = np.zeros((*samples.shape[:2], 1))
    return np.concatenate([[0.0], field.distance_pc[known]]), np.concatenate([none, samples], axis=2)


def _stretches(nodes_pc: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and the last distance of every stretch."""
    modulus = np.concatenate([[-np.inf], modulus_from_distance(nodes_pc[1:])])
    n = len(modulus)
    found: list[tuple[int, int]] = []
    for first in range(n - 1):
        ends = np.flatnonzero(modulus >= modulus[first] + _STRETCH_MAG - 1e-6)
        last = max(int(ends[0]) if len(ends) else n - 1, first + 1)
        if not found or last > found[-1][1]:
            found.append((first, last))
    return found


def _members(
    beside: Int[np.ndarray, "way pixel"],
    nodes_pc: Float[np.ndarray, " node"],
    out_to: Float[np.ndarray, "draw pixel node"],
    threshold_mag: float,
) -> Iterator[tuple[Int[np.ndarray, " member"], int, int]]:
    """Yield the rows of the pixels of every cloud, and its first and last distance."""
    stretches = _stretches(nodes_pc)
    more = np.stack([out_to[:, :, b] - out_to[:, :, a] > threshold_mag for a, b in stretches])
    holds = more.mean(axis=1) > _SURE
    number = np.cumsum(holds.ravel()).reshape(holds.shape) - 1
    pairs = [_both(holds[:-1], holds[1:], number[:-1], number[1:])]
    for rows in beside:
        there = holds[:, rows] & (rows >= 0)
        pairs.append(_both(holds, there, number, number[:, rows]))
    one, other = np.concatenate(pairs, axis=1)
    n = int(holds.sum())
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(n, n))
    n_clouds, label = connected_components(graph, directed=False)
    stretch, row = np.nonzero(holds)
    for cloud in range(n_clouds):
        mine = label == cloud
        ends = [stretches[k] for k in np.unique(stretch[mine])]
        # In some samples the dust lies a step beyond the stretches in which most have it.
        first, last = min(a for a, _ in ends) - 1, max(b for _, b in ends) + 1
        yield np.unique(row[mine]), max(first, 0), min(last, len(nodes_pc) - 1)


def _both(here: Bool[np.ndarray, "..."], there: Bool[np.ndarray, "..."], *numbers: np.ndarray) -> np.ndarray:
    both = here & there
    return np.stack([n[both] for n in numbers])


def _neighbours(nside: int, pixel: Int[np.ndarray, " pixel"]) -> Int[np.ndarray, "way pixel"]:
    """Return the rows of the eight neighbours of every pixel; -1 where the map has none."""
    beside = HEALPix(nside=nside, order="nested").neighbours(pixel)
    order = np.argsort(pixel)
    row = order[np.clip(np.searchsorted(pixel[order], beside), 0, len(pixel) - 1)]
    # Some pixels have seven neighbours: the eighth, -1, is no border of the map.
    return np.where((beside >= 0) & (pixel[row] == beside), row, np.where(beside < 0, -2, -1))


def _row(
    field: FieldMap,
    beside: np.ndarray,
    nodes_pc: np.ndarray,
    out_to: np.ndarray,
    threshold_mag: float,
    rows: np.ndarray,
    first: int,
    last: int,
) -> dict[str, float]:
    curve = out_to[:, rows, first : last + 1].mean(axis=1)
    curve = curve - curve[:, :1]
    ebv, place = curve[:, -1], nodes_pc[first : last + 1]
    half = [np.interp(0.5, one / max(one[-1], 1e-12), place) for one in curve]
    l_deg, b_deg = _centre(field, rows, (out_to[:, rows, last] - out_to[:, rows, first]).mean(axis=0))
    # No surer than so many independent samples allow, one of which might have been on the other side.
    n = min(len(ebv), field.numbers.get("ess", (np.inf, 0.0))[0])
    probability = (float((ebv > threshold_mag).mean()) * n + 1.0) / (n + 2.0)
    found = {
        "l": l_deg,
        "b": b_deg,
        "area": len(rows) * HEALPix(field.nside).pixel_area.to_value(u.deg**2),
        "n_pixel": len(rows),
        "n_star": int(field.n_star[rows].sum()),
        "distance_step_pc": float(np.diff(nodes_pc)[np.searchsorted(nodes_pc, np.mean(half)) - 1]),
        "at_border": bool((beside[:, rows] == -1).any()),
        "probability": probability,
        "odds": probability / (1.0 - probability),
    }
    for name, values in (("distance_pc", np.array(half)), ("ebv_mag", ebv)):
        found[name], found[f"{name}_std"] = float(values.mean()), float(values.std())
        found[f"{name}_q16"], found[f"{name}_q84"] = (float(q) for q in np.quantile(values, [0.16, 0.84]))
    return found


def _centre(field: FieldMap, rows: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    l_deg, b_deg = (np.radians(a) for a in pixel_centres_deg(field.nside, field.pixel[rows]))
    weight = np.maximum(weight, 0.0)
    x, y, z = (
        float(weight @ a)
        for a in (np.cos(b_deg) * np.cos(l_deg), np.cos(b_deg) * np.sin(l_deg), np.sin(b_deg))
    )
    return float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))
