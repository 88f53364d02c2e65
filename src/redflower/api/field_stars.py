"""Stars of a field, from a table of posteriors to what a fit of the dust takes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Float, Int

from redflower.api.posteriors import ebv_prior_mag, open_posteriors
from redflower.api.sightlines import outlier_probabilities, sightline_rows
from redflower.calibrate.verdict import Verdict, verdict_of
from redflower.catalogue.io.sources import TableSource
from redflower.errors import InputError
from redflower.posterior.density import JointDensity, joint_density
from redflower.provenance import META_KEY

#: Fewer stars than this are no field.
MIN_STARS: Final = 20
_ALL: Final = "ALL"


@dataclass(frozen=True)
class FieldStars:
    """Stars of a field, ready to be fitted.

    Attributes
    ----------
    density : joint densities.
    ebv_range_mag : limits of their reddening prior. [mag]
    l_deg, b_deg : positions. [deg]
    distance_pc, ebv_error_mag : posterior mean distance, and standard deviation of E(B-V). [pc, mag]
    group : number of the group whose zero point each has.
    groups : names of the groups.
    p_outlier : probability of each to be no star of the population, or None.
    n_left_out : rows of the table that are none of these stars.
    """

    density: JointDensity
    ebv_range_mag: tuple[float, float]
    l_deg: Float[np.ndarray, " star"]
    b_deg: Float[np.ndarray, " star"]
    distance_pc: Float[np.ndarray, " star"]
    ebv_error_mag: Float[np.ndarray, " star"]
    group: Int[np.ndarray, " star"]
    groups: tuple[str, ...]
    p_outlier: Float[np.ndarray, " star"] | None
    n_left_out: int

    def rows(self, which: Bool[np.ndarray, " star"]) -> "FieldStars":
        """Return some of the stars."""
        names = ("l_deg", "b_deg", "distance_pc", "ebv_error_mag", "group")
        return replace(
            self,
            density=self.density.rows(np.flatnonzero(which)),
            p_outlier=None if self.p_outlier is None else self.p_outlier[which],
            **{name: getattr(self, name)[which] for name in names},
        )


def open_field_stars(
    posteriors: TableSource, zero_point_of: str | None = None
) -> tuple[FieldStars, Verdict | None]:
    """Open posteriors and choose the stars that enter a field; return them and the verdict on them.

    Raises
    ------
    InputError
        If too few are left, or columns are missing.
    """
    what = str(posteriors) if isinstance(posteriors, (str, Path)) else "the field's input"
    table = open_posteriors(posteriors, what)
    if not {"l", "b"} <= set(table.colnames):
        raise InputError(
            f"{what}: a field map needs the columns l and b. Infer the stars again, and keep them."
        )
    density = joint_density(table)
    l_deg, b_deg, distance, error = (
        np.asarray(table[name], dtype=float) for name in ("l", "b", "distance_mean", "ebv_std")
    )
    rows = sightline_rows(table, density) & np.isfinite([l_deg, b_deg, distance, error]).all(axis=0)
    if rows.sum() < MIN_STARS:
        raise InputError(
            f"{what}: a field map needs {MIN_STARS} stars with a density and a position; {rows.sum()} of {len(table)} have both "
            "and a status of ok or edge_of_prior."
        )
    group, groups = _groups(table, zero_point_of, rows, what)
    stars = FieldStars(
        density=density.rows(rows),
        ebv_range_mag=ebv_prior_mag(table),
        l_deg=l_deg[rows],
        b_deg=b_deg[rows],
        distance_pc=distance[rows],
        ebv_error_mag=np.maximum(error[rows], 1e-3),
        group=group,
        groups=groups,
        p_outlier=outlier_probabilities(table, rows),
        n_left_out=int((~rows).sum()),
    )
    return stars, verdict_of(table.meta.get(META_KEY, {}))


def _groups(
    table: Table, name: str | None, rows: np.ndarray, what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the number of every star's group, and the groups' names."""
    if name is None:
        return np.zeros(int(rows.sum()), np.int64), (_ALL,)
    if name not in table.colnames:
        raise InputError(
            f"{what} has no column {name!r} to tell the samples apart whose zero points may differ. Keep it through inference "
            f"with `redflower infer --keep {name}`."
        )
    words = np.asarray(table[name]).astype(str)[rows]
    groups, number = np.unique(words, return_inverse=True)
    few = [f"'{g}' ({n})" for g, n in zip(groups, np.bincount(number), strict=True) if n < MIN_STARS]
    if few:
        raise InputError(
            f"{what}: every sample with a zero point of its own needs {MIN_STARS} stars; column {name!r} has "
            f"{', '.join(few[:5])}."
        )
    return number, tuple(str(g).upper() for g in groups)
