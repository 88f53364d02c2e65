"""What every map with samples can tell, however its pixels lie; it answers as dustmaps does."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from jaxtyping import Bool, Float, Int

from redflower.calibrate.verdict import Verdict
from redflower.cards import card, line
from redflower.errors import InputError
from redflower.field.agreement import R_HAT_MAX

#: Flags of a pixel: no star of its own, so that it rests on its neighbours; less than half of it has stars nearby.
FLAG_NO_STAR: Final = 1
FLAG_HALF_SERVED: Final = 2
#: Flag of a pixel in which the chains do not agree.
FLAG_CHAINS_APART: Final = 4
#: Status of a map: its samples are the posterior; its chains do not agree, so that its errors are not to be trusted.
OK: Final = "ok"
NOT_CONVERGED: Final = "not_converged"
#: What a query may ask for.
MODES: Final = ("mean", "std", "median", "percentile", "samples", "random_sample")


@dataclass(frozen=True, repr=False, kw_only=True)
class SampledMap:
    """What maps with samples of E(B-V) share; each kind says besides how its pixels lie.

    Attributes
    ----------
    pixel : numbers of the pixels, nested, Galactic.
    distance_pc : the distances, rising. [pc]
    samples_mag : E(B-V) of each sample; NaN beyond the stars. [mag]
    zero_point_mag : zero point of the stars' reddenings in each sample, one for every group; a sample's dust and its zero
        point belong together. [mag]
    groups : names of the groups of stars that have a zero point each.
    n_star : stars in each pixel.
    served : share of each pixel that has stars nearby.
    resolution_deg : side of the smallest area over which the stars tell more than the prior. [deg]
    numbers : mean and standard deviation of the field's other numbers, by name; ``r_hat`` and ``ess`` are the worst split R-hat
        (1 where the chains agree) and the least effective number of draws of the field's mean E(B-V) and of the zero points.
    r_hat : worst split R-hat of each pixel over the distances.
    status : ``ok`` or ``not_converged``.
    verdict : whether the model was right for the stars; None where their table did not say.
    """

    pixel: Int[np.ndarray, " pixel"]
    distance_pc: Float[np.ndarray, " distance"]
    samples_mag: Float[np.ndarray, "draw pixel distance"]
    zero_point_mag: Float[np.ndarray, "draw group"]
    groups: tuple[str, ...]
    n_star: Int[np.ndarray, " pixel"]
    served: Float[np.ndarray, " pixel"]
    resolution_deg: Float[np.ndarray, "pixel distance"]
    numbers: dict[str, tuple[float, float]]
    r_hat: Float[np.ndarray, " pixel"]
    status: str = OK
    verdict: Verdict | None = None
    _NAMES: ClassVar[tuple[str, str]]

    @abstractmethod
    def centres_deg(self) -> tuple[np.ndarray, np.ndarray]:
        """Return Galactic longitudes and latitudes of the pixels' centres. [deg]"""

    @abstractmethod
    def _rows_towards(self, galactic: SkyCoord) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Return the map's row towards each position, and whether it has one."""

    @abstractmethod
    def _place(self) -> tuple[str, str]:
        """Return how the pixels lie, for people."""

    @property
    def ebv_mag(self) -> Float[np.ndarray, "pixel distance"]:
        """Posterior mean. [mag]"""
        return self.samples_mag.mean(axis=0)

    @property
    def ebv_std_mag(self) -> Float[np.ndarray, "pixel distance"]:
        """Posterior standard deviation. [mag]"""
        return self.samples_mag.std(axis=0)

    @property
    def ebv_zero_std_mag(self) -> Float[np.ndarray, "pixel distance"]:
        """The part of the standard deviation that goes with the zero points, and so is common to the field. [mag]

        By the straight line of the samples of E(B-V) over those of the zero points. The statistical part is what is left:
        the root of `ebv_std_mag` squared less this squared.
        """
        zero = self.zero_point_mag - self.zero_point_mag.mean(axis=0)
        ways, sizes, _ = np.linalg.svd(zero, full_matrices=False)
        ways = ways[:, sizes > 1e-6 * max(float(sizes.max(initial=0.0)), 1e-12)]
        n, shape = len(zero), self.samples_mag.shape[1:]
        along = ways.T @ (self.samples_mag - self.ebv_mag).reshape(n, -1)
        return np.sqrt((along**2).sum(axis=0) / n).reshape(shape)

    @property
    def flags(self) -> Int[np.ndarray, " pixel"]:
        """Bits of what to mind in each pixel: `FLAG_NO_STAR`, `FLAG_HALF_SERVED`, `FLAG_CHAINS_APART`."""
        return (
            FLAG_NO_STAR * (self.n_star == 0)
            + FLAG_HALF_SERVED * (self.served < 0.5)
            + FLAG_CHAINS_APART * (self.r_hat > R_HAT_MAX)
        )

    @property
    def density_mag_per_pc(self) -> Float[np.ndarray, "pixel interval"]:
        """Mean E(B-V) per pc between consecutive distances. [mag/pc]"""
        return np.diff(self.ebv_mag, axis=1) / np.diff(self.distance_pc)

    def coordinates(self) -> SkyCoord:
        """Return the pixels' centres as coordinates."""
        l_deg, b_deg = self.centres_deg()
        return SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic")

    def query(
        self,
        coordinates: SkyCoord,
        mode: str = "mean",
        pct: "float | Sequence[float] | None" = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return E(B-V) towards (and out to) the given coordinates, with the calling convention of dustmaps. [mag]

        Parameters
        ----------
        coordinates : any frame, one position or an array. With distances, E(B-V) is interpolated between those of the map, from 0
            at the Sun to the first; without, the result has a last axis over the map's distances.
        mode : ``mean``, ``std``, ``median``, ``percentile`` (see ``pct``), ``samples`` (a further axis over the samples) or
            ``random_sample``, the same one for all positions.
        pct : percentiles, 0 to 100; of several, a further axis.
        seed : of ``random_sample``.

        Returns
        -------
        NaN outside the map's pixels and beyond its last distance.

        Raises
        ------
        InputError
            If the mode is unknown, or ``pct`` and ``percentile`` are not given together.
        """
        if mode not in MODES:
            raise InputError(f"query(mode) needs one of {', '.join(MODES)}; got {mode!r}.")
        if (mode == "percentile") != (pct is not None):
            raise InputError("query needs pct, from 0 to 100, with mode='percentile' and with no other.")
        galactic = coordinates.galactic
        row, there = self._rows_towards(galactic)
        here = np.where(there[:, None], self.samples_mag[:, row], np.nan)
        shape: tuple[Any, ...] = coordinates.shape
        if galactic.distance.unit != u.dimensionless_unscaled:
            asked = np.atleast_1d(galactic.distance.to_value(u.pc)).ravel()
            here = _out_to(here, self.distance_pc, asked)
        else:
            shape = (*shape, len(self.distance_pc))
        if mode in ("mean", "std", "median"):
            found = getattr(np, mode)(here, axis=0)
        elif mode == "random_sample":
            found = here[np.random.default_rng(seed).integers(len(here))]
        elif mode == "samples":
            return np.moveaxis(here, 0, -1).reshape(*shape, len(here))
        else:
            found = np.percentile(here, np.asarray(pct, dtype=float), axis=0)
            if found.ndim > here.ndim - 1:
                return np.moveaxis(found, 0, -1).reshape(*shape, len(found))
        return found.reshape(shape)

    __call__ = query

    def __repr__(self) -> str:
        return line(self._NAMES[0], self._facts())

    def _repr_html_(self) -> str:
        return card(self._NAMES[1], self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        near, far = self.distance_pc[[0, -1]]
        zero = self.zero_point_mag.mean(axis=0), self.zero_point_mag.std(axis=0)
        facts = [
            self._place(),
            ("pixels", f"{len(self.pixel):,}"),
            ("stars", f"{self.n_star.sum():,}"),
            ("distances", f"{near:.0f} to {far:.0f} pc"),
            ("samples", str(len(self.samples_mag))),
            ("status", self.status),
            ("zero point", ", ".join(f"{a:+.4f} +- {b:.4f} mag" for a, b in zip(*zero, strict=True))),
        ]
        return facts + ([] if self.verdict is None else [("verdict", self.verdict.heading)])


def _out_to(
    here: Float[np.ndarray, "draw n distance"],
    distance_pc: Float[np.ndarray, " distance"],
    asked_pc: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "draw n"]:
    """Interpolate in distance, each position at its own."""
    nodes = np.concatenate([[0.0], distance_pc])
    values = np.concatenate([np.zeros((*here.shape[:2], 1)) * here[:, :, :1], here], axis=2)
    upper = np.clip(np.searchsorted(nodes, asked_pc), 1, len(nodes) - 1)
    part = (asked_pc - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1])
    n = np.arange(len(asked_pc))
    low, high = values[:, n, upper - 1], values[:, n, upper]
    found = low + part * (high - low)
    return np.where((asked_pc >= 0) & (asked_pc <= nodes[-1]), found, np.nan)
