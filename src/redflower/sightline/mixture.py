"""Student distributions fitted to particles: they propose far moves, and the bridge of the evidence."""

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.special import gammaln, ndtr, ndtri

from redflower.sightline.problem import Jump, Points

#: Degrees of freedom of the Student distributions that propose far moves.
_DEGREES = 6.0


def make_mixture_jump(points: Points, rng: np.random.Generator) -> Jump:
    """Make proposals from Student mixtures fitted to the particles in probit coordinates.

    Each half of the particles is proposed to from the mixture of the other half, and never from itself.
    """
    n, dim = points.shape
    half = rng.permutation(n) < n // 2
    fitted = [StudentMixture(probit(points[half == side]), rng) for side in (False, True)]

    def jump(points: Points, rng: np.random.Generator) -> tuple[Points, np.ndarray]:
        y = probit(points)
        new, log_ratio = np.empty_like(y), np.empty(n)
        for mine, mixture in ((half, fitted[0]), (~half, fitted[1])):
            new[mine] = mixture.draw(int(mine.sum()), rng)
            log_ratio[mine] = mixture.log_density(y[mine]) - mixture.log_density(new[mine])
        # The prior is normal in these coordinates.
        log_ratio += 0.5 * np.sum(y**2 - new**2, axis=1)
        return ndtr(new), log_ratio

    return jump


def probit(points: Points) -> Points:
    return ndtri(np.clip(points, 1e-12, 1.0 - 1e-12))


class StudentMixture:
    """A mixture of Student distributions about the clusters of a set of points."""

    def __init__(self, y: Points, rng: np.random.Generator) -> None:
        n, dim = y.shape
        spread = y.std(axis=0) + 1e-6
        count = int(np.clip(n // (4 * dim), 1, 6))
        _, label = kmeans2(y / spread, count, minit="++", seed=rng)
        self.weight, self.mean, self.factor, self.inverse = [], [], [], []
        for k in range(count):
            part = y[label == k]
            if len(part) < 2 * dim and count > 1:
                continue
            covariance = np.cov(part.T).reshape(dim, dim)
            covariance = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance)) + 1e-8 * np.eye(dim)
            factor = np.linalg.cholesky(covariance)
            self.weight.append(len(part))
            self.mean.append(part.mean(axis=0))
            self.factor.append(factor)
            self.inverse.append(np.linalg.inv(factor))
        if not self.weight:
            factor = np.diag(spread)
            self.weight, self.mean, self.factor = [1], [y.mean(axis=0)], [factor]
            self.inverse = [np.linalg.inv(factor)]
        self.weight = np.array(self.weight) / np.sum(self.weight)
        half = 0.5 * (_DEGREES + dim)
        self.log_constant = float(
            gammaln(half) - gammaln(0.5 * _DEGREES) - 0.5 * dim * np.log(_DEGREES * np.pi)
        )

    def draw(self, n: int, rng: np.random.Generator) -> Points:
        which = rng.choice(len(self.weight), size=n, p=self.weight)
        z = rng.standard_normal((n, len(self.mean[0])))
        z *= np.sqrt(_DEGREES / rng.chisquare(_DEGREES, size=(n, 1)))
        return np.stack(self.mean)[which] + np.einsum("nij,nj->ni", np.stack(self.factor)[which], z)

    def log_density(self, y: Points) -> np.ndarray:
        """Evaluate ln density of the mixture."""
        dim = y.shape[1]
        parts = []
        for weight, mean, factor, inverse in zip(
            self.weight, self.mean, self.factor, self.inverse, strict=True
        ):
            square = np.sum(((y - mean) @ inverse.T) ** 2, axis=1)
            log_volume = np.log(np.diag(factor)).sum()
            parts.append(np.log(weight) - log_volume - 0.5 * (_DEGREES + dim) * np.log1p(square / _DEGREES))
        return self.log_constant + np.logaddexp.reduce(parts, axis=0)
