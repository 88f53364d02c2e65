"""How many clouds a sightline has, with odds, and the distance and reddening of each."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from redflower.errors import InputError
from redflower.platforms import compute_platform
from redflower.posterior.density import JointDensity
from redflower.sightline.cells import make_grid, star_cells
from redflower.sightline.clouds import (
    cloud_problem,
    clouds_of,
    log_evidence_of_one_more,
    profile_of,
    profile_problem,
)
from redflower.sightline.dust import Dust, DustPrior
from redflower.sightline.likelihood import StarSet
from redflower.sightline.tempering import Sampled, TemperingSettings, sample

#: Fewer stars than this say nothing of a sightline.
MIN_STARS: Final = 5
#: Clouds are looked for between the distances within which the stars have these shares of their pooled distance density.
_REACH: Final = (0.01, 0.975)
#: Two posteriors with less in common than this say nothing of the ratio of their evidences.
_MIN_OVERLAP: Final = 0.02
_LEVELS: Final = {"q05": 0.05, "q16": 0.16, "q50": 0.50, "q84": 0.84, "q95": 0.95}


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
        """Probabilities of 0, 1, 2, ... clouds of at least a given E(B-V), whatever the number of weaker ones.

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

    def profile(
        self, distance_pc: Float[np.ndarray, " node"], *, with_foreground: bool = False
    ) -> dict[str, np.ndarray]:
        """Reddening behind the foreground, averaged over the numbers of clouds with their probabilities.

        Parameters
        ----------
        distance_pc : where. [pc]
        with_foreground : add the foreground, and with it the zero point of the stars' reddenings.

        Returns
        -------
        ``mean``, ``std``, ``q05`` ... ``q95`` of the cumulative mean E(B-V) at each distance. [mag]
        """
        modulus = 5.0 * np.log10(np.asarray(distance_pc) / 10.0)
        values, weights = [], []
        for model in self.models:
            n_draws = len(model.draws.foreground_mag)
            shift = model.draws.foreground_mag[:, None] if with_foreground else 0.0
            values.append(shift + model.draws.profile_mag(modulus))
            weights.append(np.full(n_draws, model.probability / n_draws))
        return _summary(np.concatenate(values), np.concatenate(weights))

    def monotone_profile(self, distance_pc: Float[np.ndarray, " node"]) -> dict[str, np.ndarray]:
        """The same for the non-decreasing profile without clouds. [mag]"""
        if self.monotone is None:
            raise InputError("this fit was made without the non-decreasing profile; fit with monotone=True.")
        values = self.monotone.profile_mag(5.0 * np.log10(np.asarray(distance_pc) / 10.0))
        return _summary(values, np.full(len(values), 1.0 / len(values)))


def fit_sightline(
    density: JointDensity,
    ebv_range_mag: tuple[float, float],
    rng: np.random.Generator,
    *,
    max_clouds: int = 4,
    prior: DustPrior | None = None,
    settings: TemperingSettings | None = None,
    log_weight: Float[np.ndarray, "star modulus"] | None = None,
    monotone: bool = True,
    progress: Callable[[int], None] | None = None,
) -> SightlineFit:
    """Fit 0 ... ``max_clouds`` clouds to the joint densities of the stars of one cone.

    Equations: ES1, ES2, ES3, ES4, ES5 and ES6 (docs/model.md). No star is chosen or weighted by its posterior mean.

    Parameters
    ----------
    density : of the stars; those without a usable density are left out, one by one.
    ebv_range_mag : limits of the uniform reddening prior in the densities. [mag]
    rng : random numbers.
    max_clouds : the largest number of clouds to compare, 0 to 8.
    prior : of the dust.
    settings : effort of the sampler.
    log_weight : a factor on every star's density over its distance moduli, see `star_cells`.
    monotone : whether to fit the non-decreasing profile too.
    progress : called with the number of models done.

    Raises
    ------
    InputError
        If fewer than 5 stars have a density, or ``max_clouds`` is out of range.
    """
    compute_platform()
    if not 0 <= max_clouds <= 8:
        raise InputError(f"fit_sightline(max_clouds) must be 0 to 8; got {max_clouds}.")
    grid = make_grid(ebv_range_mag)
    cells = star_cells(density, grid, log_weight)
    stars = StarSet(cells, grid)
    if stars.n_stars < MIN_STARS:
        raise InputError(
            f"a sightline needs at least {MIN_STARS} stars with a density; {stars.n_stars} of {len(cells)} have one. "
            "Take a wider cone, or infer with `--density`."
        )
    prior = prior or DustPrior()
    prior = replace(prior, distance_pc=_within_reach(prior.distance_pc, cells, grid.modulus_edges_mag))
    settings = settings or TemperingSettings()
    found: list[Sampled] = []
    log_evidence = np.zeros(max_clouds + 1)
    for n_clouds in range(max_clouds + 1):
        # More clouds, more ways to share the dust among them: more steps to visit them all.
        effort = max(n_clouds, 1)
        harder = replace(
            settings,
            # One cloud in the place of two lies at either, and the better place may be the narrower: of 300 particles
            # none was left there in every second fit of some sightlines, which cost up to 29 nat.
            n_particles=settings.n_particles * (2 if n_clouds == 1 else 1),
            n_moves=settings.n_moves * effort,
            n_final=settings.n_final * (effort + 1) // 2,
        )
        found.append(sample(cloud_problem(stars, prior, n_clouds), rng, harder))
        log_evidence[n_clouds] = found[-1].log_evidence
        if n_clouds > 1:
            # A cloud that the stars do not need leaves the posterior of the others nearly as it was; a cloud that they
            # do need makes it compact, so that the mixture fits.
            fewer, more = found[-2].points, found[-1].points
            ratio, _, overlap = log_evidence_of_one_more(stars, prior, fewer, more, rng)
            if overlap > _MIN_OVERLAP:
                log_evidence[n_clouds] = log_evidence[n_clouds - 1] + ratio
        if progress is not None:
            progress(n_clouds + 1)
    probability = np.exp(log_evidence - logsumexp(log_evidence))  # ES6
    models = tuple(
        CloudModel(
            n_clouds,
            float(log_evidence[n_clouds]),
            one.log_evidence_error,
            float(probability[n_clouds]),
            clouds_of(one.points, prior, grid, n_clouds),
            float(one.log_likelihood.max()),
        )
        for n_clouds, one in enumerate(found)
    )
    smooth, smooth_evidence = None, float("nan")
    if monotone:
        harder = replace(settings, n_moves=2 * settings.n_moves)
        one = sample(profile_problem(stars, prior), rng, harder)
        smooth, smooth_evidence = profile_of(one.points, prior, grid), one.log_evidence
        if progress is not None:
            progress(max_clouds + 2)
    return SightlineFit(models, smooth, smooth_evidence, stars.n_stars, prior)


def cloud_summary(model: CloudModel) -> list[dict[str, float]]:
    """Mean, standard deviation and quantiles of each cloud's distance [pc], E(B-V) [mag] and patchiness, by distance.

    Clouds are told apart by their order in distance, in every draw.
    """
    rows = []
    for k in range(model.n_clouds):
        row: dict[str, float] = {}
        values = {
            "distance_pc": 10.0 ** (1.0 + model.draws.modulus_mag[:, k] / 5.0),
            "ebv_mag": model.draws.ebv_mag[:, k],
            "patchiness": model.draws.patchiness[:, k],
        }
        for name, draws in values.items():
            row[name], row[f"{name}_std"] = float(np.mean(draws)), float(np.std(draws))
            row |= {f"{name}_{label}": float(np.quantile(draws, q)) for label, q in _LEVELS.items()}
        rows.append(row)
    return rows


def thinned(dust: Dust, n_draws: int) -> Dust:
    """Evenly chosen draws, at most ``n_draws``."""
    rows = np.linspace(0, len(dust.foreground_mag) - 1, min(n_draws, len(dust.foreground_mag))).astype(int)
    values = {field.name: getattr(dust, field.name) for field in fields(Dust)}
    chosen = {name: value[rows] for name, value in values.items() if isinstance(value, np.ndarray)}
    return replace(dust, **chosen)


def _within_reach(
    distance_pc: tuple[float, float], cells: np.ndarray, modulus_edges_mag: np.ndarray
) -> tuple[float, float]:
    """The prior's distances, drawn in to where the stars are."""
    per_star = cells.sum(axis=2, dtype=np.float64)
    total = per_star.sum(axis=1, keepdims=True)
    pooled = np.concatenate([[0.0], np.cumsum((per_star / np.where(total > 0, total, 1.0)).sum(axis=0))])
    modulus = np.interp(np.array(_REACH) * pooled[-1], pooled, modulus_edges_mag)
    low, high = 10.0 ** (1.0 + modulus / 5.0)
    near, far = distance_pc
    near = float(np.clip(low, near, 0.5 * far))
    return near, float(np.clip(high, 2.0 * near, far))


def _summary(
    values: Float[np.ndarray, "draw node"], weights: Float[np.ndarray, " draw"]
) -> dict[str, np.ndarray]:
    mean = weights @ values
    out = {"mean": mean, "std": np.sqrt(np.maximum(weights @ (values - mean) ** 2, 0.0))}
    order = np.argsort(values, axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    cumulative = np.cumsum(weights[order], axis=0)
    for label, level in _LEVELS.items():
        at = np.minimum((cumulative < level).sum(axis=0), len(values) - 1)
        out[label] = ordered[at, np.arange(values.shape[1])]
    return out
