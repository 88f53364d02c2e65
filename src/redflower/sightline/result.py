"""What a fit of clouds found: each number of clouds with its odds, draws and profile."""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from jaxtyping import Float

from redflower.distances import distance_from_modulus, modulus_from_distance
from redflower.errors import InputError
from redflower.quantiles import QUANTILES
from redflower.sightline.dust import Dust, DustPrior

#: Shares of the shortest intervals of the profile, and the draws of each number of clouds that it is made from.
INTERVALS: Final = (0.68, 0.90, 0.95)
_N_PROFILE_DRAWS: Final = 4000


@dataclass(frozen=True)
class CloudModel:
    """The posterior of a sightline with a given number of clouds.

    Attributes
    ----------
    n_clouds : clouds.
    log_evidence, log_evidence_error : natural log, relative to stars of uniform reddening, and a lower bound of its
        standard error.
    probability : of this number of clouds among those compared, all equally likely beforehand.
    draws : equally weighted draws of the posterior.
    log_likelihood_max : of the best draw.
    """

    n_clouds: int
    log_evidence: float
    log_evidence_error: float
    probability: float
    draws: Dust
    log_likelihood_max: float


@dataclass(frozen=True)
class SightlineFit:
    """What the stars of a cone say of the dust in front of them.

    Attributes
    ----------
    models : for 0, 1, ... clouds.
    monotone : draws of the non-decreasing profile without clouds; None if it was not asked for.
    monotone_log_evidence : of it; comparable with those of the models.
    n_stars : stars that entered.
    prior : of the dust, its distances drawn in to where there are stars: a cloud nearer than all of them is part of the
        foreground, or is found at the near end.
    """

    models: tuple[CloudModel, ...]
    monotone: Dust | None
    monotone_log_evidence: float
    n_stars: int
    prior: DustPrior

    @property
    def best(self) -> CloudModel:
        """The most probable number of clouds."""
        return max(self.models, key=lambda model: model.probability)

    def probability_of_clouds_above(self, ebv_mag: float) -> list[float]:
        """Return the probabilities of 0, 1, 2, ... clouds with at least a given E(B-V), summed over all weaker clouds.

        Parameters
        ----------
        ebv_mag : smallest mean E(B-V) that counts. [mag]
        """
        most = self.models[-1].n_clouds
        share = np.zeros(most + 1)
        for model in self.models:
            count = (model.draws.ebv_mag >= ebv_mag).sum(axis=1)
            share += model.probability * np.bincount(count, minlength=most + 1) / len(count)
        return [float(value) for value in share]

    def limit_on_further_mag(self, n_clouds: int, level: float = 0.95) -> float:
        """Return the E(B-V) that the strongest cloud beyond the ``n_clouds`` strongest stays below. [mag]

        Odds of "more clouds" say little, because nothing rules out weak ones. This says how weak they are.

        Parameters
        ----------
        n_clouds : clouds that are counted already.
        level : probability that it is below, averaged over the numbers of clouds with their probabilities.
        """
        values, weights = [], []
        for model in self.models:
            ebv = -np.sort(-model.draws.ebv_mag, axis=1)
            values.append(ebv[:, n_clouds] if model.n_clouds > n_clouds else np.zeros(len(ebv)))
            weights.append(np.full(len(ebv), model.probability / len(ebv)))
        order = np.argsort(np.concatenate(values))
        cumulative = np.cumsum(np.concatenate(weights)[order])
        at = min(int(np.searchsorted(cumulative, level * cumulative[-1])), len(order) - 1)
        return float(np.concatenate(values)[order[at]])

    def profile(
        self, distance_pc: Float[np.ndarray, " node"], *, with_foreground: bool = False
    ) -> dict[str, np.ndarray]:
        """Return the reddening behind the foreground, averaged over the numbers of clouds with their probabilities.

        Parameters
        ----------
        distance_pc : where. [pc]
        with_foreground : add the foreground, and with it the zero point of the stars' reddenings.

        Returns
        -------
        ``mean``, ``std``, ``q05`` ... ``q95`` of the cumulative mean E(B-V) at each distance, and ``low68``, ``high68``,
        ... the shortest intervals that hold 68, 90 and 95 %. Where there may be no dust at all, quantiles hold more than
        they say: half of the draws may be exactly 0. [mag]
        """
        modulus = modulus_from_distance(distance_pc)
        values, weights = [], []
        for model in self.models:
            draws = thinned(model.draws, _N_PROFILE_DRAWS)
            n_draws = len(draws.foreground_mag)
            shift = draws.foreground_mag[:, None] if with_foreground else 0.0
            values.append(shift + draws.profile_mag(modulus))
            weights.append(np.full(n_draws, model.probability / n_draws))
        return _summary(np.concatenate(values), np.concatenate(weights))

    def monotone_profile(self, distance_pc: Float[np.ndarray, " node"]) -> dict[str, np.ndarray]:
        """Return the same for the non-decreasing profile without clouds. [mag]"""
        if self.monotone is None:
            raise InputError("this fit was made without the non-decreasing profile; fit with monotone=True.")
        values = self.monotone.profile_mag(modulus_from_distance(distance_pc))
        return _summary(values, np.full(len(values), 1.0 / len(values)))


def cloud_summary(model: CloudModel) -> list[dict[str, float]]:
    """Summarise each cloud's distance [pc], E(B-V) [mag] and patchiness: mean, deviation, quantiles, by rising distance.

    In every draw, clouds are identified by their order in distance.
    """
    rows = []
    for k in range(model.n_clouds):
        row: dict[str, float] = {}
        values = {
            "distance_pc": distance_from_modulus(model.draws.modulus_mag[:, k]),
            "ebv_mag": model.draws.ebv_mag[:, k],
            "patchiness": model.draws.patchiness[:, k],
        }
        if (stars := model.draws.polarisation) is not None:
            q, u = stars.q[:, k], stars.u[:, k]
            values |= {"q": q, "u": u, "p": np.hypot(q, u)}
            # An axis and not a direction: about the mean of q and u, so that no draw is half a turn away.
            middle = 0.5 * np.arctan2(u.mean(), q.mean())
            turned = (0.5 * np.arctan2(u, q) - middle + 0.5 * np.pi) % np.pi - 0.5 * np.pi
            values["angle_deg"] = np.degrees(middle + turned)
            values["p_scatter"] = np.sqrt(stars.qq[:, k] + stars.uu[:, k])
        for name, draws in values.items():
            row[name], row[f"{name}_std"] = float(np.mean(draws)), float(np.std(draws))
            row |= {f"{name}_{label}": float(np.quantile(draws, q)) for label, q in QUANTILES.items()}
        rows.append(row)
    return rows


def thinned(dust: Dust, n_draws: int) -> Dust:
    """Keep evenly spaced draws, at most ``n_draws``."""
    rows = np.linspace(0, len(dust.foreground_mag) - 1, min(n_draws, len(dust.foreground_mag))).astype(int)
    values = {field.name: getattr(dust, field.name) for field in fields(Dust)}
    chosen = {name: value[rows] for name, value in values.items() if isinstance(value, np.ndarray)}
    polarisation = dust.polarisation
    return replace(dust, **chosen, polarisation=None if polarisation is None else polarisation.rows(rows))


def _summary(
    values: Float[np.ndarray, "draw node"], weights: Float[np.ndarray, " draw"]
) -> dict[str, np.ndarray]:
    mean = weights @ values
    out = {"mean": mean, "std": np.sqrt(np.maximum(weights @ (values - mean) ** 2, 0.0))}
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    cumulative = np.cumsum(weights[order], axis=0)
    for label, level in QUANTILES.items():
        at = np.minimum((cumulative < level).sum(axis=0), len(values) - 1)
        out[label] = ordered[at, np.arange(values.shape[1])]
    for share in INTERVALS:
        ends = np.array([_shortest(ordered[:, k], cumulative[:, k], share) for k in range(values.shape[1])])
        out[f"low{percent_of(share)}"], out[f"high{percent_of(share)}"] = ends.reshape(-1, 2).T
    return out


def percent_of(share: float) -> int:
    """Return a share in per cent, as columns name it."""
    return round(100 * share)


def _shortest(
    ordered: Float[np.ndarray, " draw"], cumulative: Float[np.ndarray, " draw"], share: float
) -> tuple[float, float]:
    """Find the shortest interval between two draws that holds a share of the weight."""
    before = np.concatenate([[0.0], cumulative[:-1]])
    stop = np.searchsorted(cumulative, before + share * cumulative[-1] - 1e-12)
    start = np.flatnonzero(stop < len(ordered))
    width = ordered[stop[start]] - ordered[start]
    first = start[np.argmin(width)]
    return float(ordered[first]), float(ordered[stop[first]])
