"""Starlight polarisation as further data of a sightline: what clouds do to q and u, and how likely stars' are behind them."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from redflower.errors import InputError

#: Coordinates of the unit cube that a cloud has for its polarisation.
N_COORDINATES: Final = 4
#: Mean of the exponential prior of a cloud's intrinsic scatter along each axis, in units of the most it can polarise; cut at 1.
SCATTER_MEAN: Final = 0.3
#: Scatter of q and of u of a star that no cloud explains.
WIDE: Final = 0.03
#: More than this share of a star's light is not polarised by dust in front of it.
_P_MAX: Final = 0.3


@dataclass(frozen=True)
class StarPolarisation:
    """Linear polarisation of stars, as shares of their light.

    Attributes
    ----------
    q, u : Stokes parameters over intensity, in one frame for all stars; NaN where not measured.
    q_error, u_error : their standard deviations.
    """

    q: Float[np.ndarray, " star"]
    u: Float[np.ndarray, " star"]
    q_error: Float[np.ndarray, " star"]
    u_error: Float[np.ndarray, " star"]

    def __post_init__(self) -> None:
        there = self.measured
        errors = np.concatenate([self.q_error[there], self.u_error[there]])
        if not (errors > 0).all():
            raise InputError(f"errors of q and u must be positive; the smallest is {errors.min():g}.")
        if there.any() and np.median(np.hypot(self.q[there], self.u[there])) > _P_MAX:
            raise InputError(
                f"q and u must be shares of a star's light; half of these stars are polarised by more than {_P_MAX:.0%}. "
                "Divide by 100 if they are in per cent."
            )

    @property
    def measured(self) -> Bool[np.ndarray, " star"]:
        """Tell which stars have all four numbers."""
        return np.asarray(np.isfinite([getattr(self, field.name) for field in fields(self)]).all(axis=0))

    def rows(self, which: "Int[np.ndarray, ' n'] | Bool[np.ndarray, ' star']") -> "StarPolarisation":
        """Return some of the stars."""
        return StarPolarisation(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class CloudPolarisation:
    """What each cloud of a batch of sightlines adds to q and u of the stars behind it: mean and covariance.

    Attributes
    ----------
    q, u : mean over the stars.
    qq, uu, qu : variances and covariance from star to star.
    """

    q: Float[np.ndarray, "sightline step"]
    u: Float[np.ndarray, "sightline step"]
    qq: Float[np.ndarray, "sightline step"]
    uu: Float[np.ndarray, "sightline step"]
    qu: Float[np.ndarray, "sightline step"]

    def rows(self, which: Int[np.ndarray, " n"]) -> "CloudPolarisation":
        """Return some of the sightlines."""
        return CloudPolarisation(*(getattr(self, field.name)[which] for field in fields(self)))


def polarisation_at(
    points: Float[np.ndarray, "sightline step coordinate"],
    ebv_mag: Float[np.ndarray, "sightline step"],
    p_per_ebv: float,
) -> CloudPolarisation:
    """Map points of the unit cube to the polarisation of clouds. Equation: ES16 (docs/explanation/model.md).

    Parameters
    ----------
    points : four coordinates of each cloud.
    ebv_mag : of each cloud. [mag]
    p_per_ebv : the largest degree of polarisation that a magnitude of E(B-V) makes. [1/mag]
    """
    most = p_per_ebv * ebv_mag
    # From a square to a disc without a seam, areas in proportion (Shirley & Chiu 1997).
    a, b = 2.0 * points[..., 0] - 1.0, 2.0 * points[..., 1] - 1.0
    by_a = np.abs(a) > np.abs(b)
    radius, other = np.where(by_a, a, b), np.where(by_a, b, a)
    ratio = 0.25 * np.pi * other / np.where(radius == 0.0, 1.0, radius)
    angle = np.where(by_a, ratio, 0.5 * np.pi - ratio)
    cos, sin = np.cos(angle), np.sin(angle)
    along, across = (
        (most * -SCATTER_MEAN * np.log1p(-points[..., k] * -np.expm1(-1.0 / SCATTER_MEAN))) ** 2
        for k in (2, 3)
    )
    return CloudPolarisation(
        q=most * radius * cos,  # ES16
        u=most * radius * sin,
        qq=along * cos**2 + across * sin**2,
        uu=along * sin**2 + across * cos**2,
        qu=(along - across) * cos * sin,
    )


def relative_density(
    stars: StarPolarisation, clouds: CloudPolarisation
) -> Float[np.ndarray, "sightline segment star"]:
    """Evaluate the density of stars' q and u in front of the first cloud and behind each, over that of a star that none explains.

    Equation: ES17 (docs/explanation/model.md). Stars that are not measured have 1 everywhere.
    """
    there = stars.measured
    some = stars.rows(there)

    def up_to(values: np.ndarray) -> np.ndarray:
        none = np.zeros((len(values), 1))
        return np.concatenate([none, np.cumsum(values, axis=1)], axis=1)[:, :, None].astype(np.float32)

    q, u = some.q.astype(np.float32) - up_to(clouds.q), some.u.astype(np.float32) - up_to(clouds.u)
    qq = (some.q_error**2).astype(np.float32) + up_to(clouds.qq)
    uu = (some.u_error**2).astype(np.float32) + up_to(clouds.uu)
    qu = up_to(clouds.qu)
    area = qq * uu - qu * qu
    square = (uu * q * q - 2.0 * qu * q * u + qq * u * u) / area
    wide_q, wide_u = some.q_error**2 + WIDE**2, some.u_error**2 + WIDE**2
    wide = 0.5 * (some.q**2 / wide_q + some.u**2 / wide_u + np.log(wide_q * wide_u))
    out = np.ones((*q.shape[:2], len(there)), np.float32)
    out[:, :, there] = np.exp(wide.astype(np.float32) - 0.5 * (square + np.log(area)))  # ES17
    return out
