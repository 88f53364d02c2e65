"""The selection function of a sample, estimated from counts of its parent catalogue and of itself, and kept in a file.

The subsample method (Rix et al. 2021, AJ 162, 142; Castro-Ginard et al. 2023, A&A 677, A37): of n stars of the parent
catalogue in a cell of position, magnitude and colour, k are in the sample; given the probability p, k is binomial, so p
has a beta posterior. Empty and sparse cells are shrunk towards the same magnitude and colour over the whole sky and towards all
stars of the same pixel, whereas the published method shrinks them towards 1/2, a poor guess for any real survey.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from redflower.catalogue.maps.selection_counts import SelectionCounts
from redflower.errors import InputError
from redflower.physics.selection_parts import SelectionLike
from redflower.platforms import compute_platform

if TYPE_CHECKING:
    from redflower.physics import SelectionFunction


@dataclass(frozen=True)
class SelectionCells:
    """The cells of a selection function in numpy's arrays: all that its file holds, and made without JAX.

    Attributes
    ----------
    log_probability, log_mean_probability, uncertainty, g_centre_mag, g_rp_centre_mag, nside : see
        `redflower.physics.SelectionFunction`.
    """

    log_probability: Float[np.ndarray, "pixel g g_rp"]
    log_mean_probability: Float[np.ndarray, "pixel g"]
    uncertainty: Float[np.ndarray, "pixel g g_rp"]
    g_centre_mag: Float[np.ndarray, " g"]
    g_rp_centre_mag: Float[np.ndarray, " g_rp"]
    nside: int

    def function(self) -> "SelectionFunction":
        """Return the selection function that the model evaluates."""
        compute_platform()
        import jax

        from redflower.physics import SelectionFunction

        arrays = {name: value for name, value in vars(self).items() if name != "nside"}
        return SelectionFunction(**jax.device_put(arrays), nside=self.nside)


def build_selection(
    counts: SelectionCounts,
    *,
    prior: Literal["sky", "flat"] = "sky",
    prior_stars: float = 2.0,
    log_parent: Float[np.ndarray, "pixel g"] | None = None,
) -> "SelectionFunction":
    """Build the selection function from counts, as `selection_cells` estimates it."""
    return selection_cells(counts, prior=prior, prior_stars=prior_stars, log_parent=log_parent).function()


def selection_cells(
    counts: SelectionCounts,
    *,
    prior: Literal["sky", "flat"] = "sky",
    prior_stars: float = 2.0,
    log_parent: Float[np.ndarray, "pixel g"] | None = None,
) -> SelectionCells:
    """Estimate a selection function from counts: posterior mean and standard deviation of the binomial probability.

    Parameters
    ----------
    counts : of parent and sample.
    prior : ``sky`` leans, with the weight of ``prior_stars``, on the same cell of magnitude and colour over the whole
        sky (that one on its magnitude, and that on everything), its odds moved by those of all stars of the pixel;
        ``flat`` is (k + 1) / (n + 2), as gaiaunlimited has it.
    prior_stars : weight of the sky's mean, in stars.
    log_parent : log of the parent's own completeness in each pixel and magnitude (E11). If None, it is 0.

    Raises
    ------
    InputError
        If the parent has no star in any cell.
    """
    n, k = counts.parent.astype(float), counts.sample.astype(float)
    if n.sum() == 0:
        raise InputError("no star of the parent catalogue lies in any cell of the selection function.")
    if prior == "flat":
        a, b = k + 1.0, n - k + 1.0
    elif prior == "sky":
        overall = (k.sum() + 0.5) / (n.sum() + 1.0)
        by_g = _leaning(k.sum(axis=(0, 2)), n.sum(axis=(0, 2)), overall, prior_stars)
        by_cell = _leaning(k.sum(axis=0), n.sum(axis=0), by_g[:, None], prior_stars)
        centre = _moved(by_cell, k.sum(axis=(1, 2)), n, prior_stars)
        a, b = k + prior_stars * centre, n - k + prior_stars * (1.0 - centre)
    else:
        raise InputError(f"build_selection(prior) must be 'sky' or 'flat'; got {prior!r}.")
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1.0 - mean) / (a + b + 1.0))
    parent = np.zeros(n.shape[:2]) if log_parent is None else np.asarray(log_parent, dtype=float)
    if parent.shape != n.shape[:2] or not (np.isfinite(parent) & (parent <= 0)).all():
        raise InputError(
            f"log_parent must be finite, at most 0, and of shape (pixel, g) = {n.shape[:2]}; got shape {parent.shape}."
        )
    # As `redflower.physics.log_subsample_selection` adds them, in its precision.
    logs = np.log(mean).astype(np.float32) + parent[:, :, None].astype(np.float32)  # E11
    colours = n + _sky_star(n)  # E12b
    over_colours = (colours * mean).sum(axis=2) / colours.sum(axis=2)
    return SelectionCells(
        log_probability=logs,
        log_mean_probability=(np.log(over_colours) + parent).astype(np.float32),
        uncertainty=(deviation * np.exp(parent)[:, :, None]).astype(np.float32),
        g_centre_mag=_centres(counts.g_edges_mag).astype(np.float32),
        g_rp_centre_mag=_centres(counts.g_rp_edges_mag).astype(np.float32),
        nside=counts.nside,
    )


@dataclass(frozen=True)
class SelectionCheck:
    """How far a selection function is from 1, and from being the same everywhere (the paper, sections 2.10.5, 4.1).

    Attributes
    ----------
    mean : over the stars of the parent.
    quantiles : 5, 50 and 95 % over the stars of the parent.
    share_above_09 : share of them with a probability above 0.9.
    scatter_over_sky : standard deviation over pixels of the probability at fixed magnitude and colour, in excess of what the
        counts' own noise makes. Only what differs between stars of one density can matter to the model.
    scatter_over_magnitudes : standard deviation over magnitudes and colours of the mean over the sky.
    """

    mean: float
    quantiles: tuple[float, float, float]
    share_above_09: float
    scatter_over_sky: float
    scatter_over_magnitudes: float

    def text(self) -> str:
        """Say it in one sentence for the user."""
        low, middle, high = self.quantiles
        return (
            f"selection function: mean {self.mean:.3f}, 5-50-95 % of the parent's stars at {low:.3f}, {middle:.3f}, "
            f"{high:.3f}; above 0.9 for {100 * self.share_above_09:.0f} % of them; scatter over the sky "
            f"{self.scatter_over_sky:.3f}, over magnitudes and colours {self.scatter_over_magnitudes:.3f}"
        )


def check_selection(selection: SelectionLike, counts: SelectionCounts) -> SelectionCheck:
    """Check how far a selection function is from 1 for the stars of its parent catalogue."""
    p = np.exp(np.asarray(selection.log_probability, dtype=float))
    sigma = np.asarray(selection.uncertainty, dtype=float)
    weight = counts.parent.astype(float)
    flat, w = p.ravel(), weight.ravel()
    order = np.argsort(flat)
    share = np.cumsum(w[order]) / w.sum()
    quantiles = tuple(
        float(flat[order][min(np.searchsorted(share, q), len(flat) - 1)]) for q in (0.05, 0.5, 0.95)
    )
    by_cell = (weight * p).sum(axis=0) / np.maximum(weight.sum(axis=0), 1.0)
    beyond = (weight * ((p - by_cell) ** 2 - sigma**2)).sum() / w.sum()
    cell_weight = weight.sum(axis=0)
    mean = float((weight * p).sum() / w.sum())
    over_magnitudes = float(np.sqrt((cell_weight * (by_cell - mean) ** 2).sum() / cell_weight.sum()))
    low, middle, high = quantiles
    return SelectionCheck(
        mean=mean,
        quantiles=(low, middle, high),
        share_above_09=float(w[flat > 0.9].sum() / w.sum()),
        scatter_over_sky=float(np.sqrt(max(beyond, 0.0))),
        scatter_over_magnitudes=over_magnitudes,
    )


def _sky_star(n: np.ndarray) -> np.ndarray:
    """Spread one star per pixel over magnitudes and colours as those of the whole sky; shape (1, g, g_rp).

    Where a pixel has no stars of a magnitude, the sky's mixture of colours stands there; where it has some, they outvote
    it. At a magnitude that no star of the sky has, all colours count alike.
    """
    sky = n.sum(axis=0)
    return np.asarray((sky / sky.sum() + np.finfo(float).tiny)[None])


def _leaning(k: np.ndarray, n: np.ndarray, towards: Any, stars: float) -> np.ndarray:
    return (k + stars * towards) / (n + stars)


def _moved(by_cell: np.ndarray, k_pixel: np.ndarray, n: np.ndarray, stars: float) -> np.ndarray:
    """Move the odds of the sky's probability in each cell to those of the pixel; shape (pixel, g, g_rp)."""
    n_pixel = n.sum(axis=(1, 2))
    everywhere = (n * by_cell).sum(axis=(1, 2))
    q = np.where(n_pixel > 0, everywhere / np.maximum(n_pixel, 1.0), by_cell.mean())
    odds_ratio = (k_pixel + stars * q) / (n_pixel - k_pixel + stars * (1.0 - q)) * (1.0 - q) / q
    odds = by_cell / (1.0 - by_cell) * odds_ratio[:, None, None]
    return odds / (1.0 + odds)


def _centres(edges: np.ndarray) -> np.ndarray:
    return 0.5 * (edges[1:] + edges[:-1])
