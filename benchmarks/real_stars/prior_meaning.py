"""Which stars the distance prior speaks of: all, those of its catalogue, or those of the sample.

    python -m benchmarks.real_stars.prior_meaning DATA_FOLDER

For the complete field of Stripe 82 (`s82_gaiadr2_ps1.fits`, public data) and a mock field at the same place: the mean ln
evidence a star of G and parallax, with the flow's density of M_G and the prior read three ways,

- of all stars: p(d) p(M_G) I, over the integral of all of it (E23, E24);
- of the stars to a limit in G: p(d) / P(G < limit | d) in place of p(d);
- of the sample's stars: p(d) / P(S = 1 | d) in place of p(d).

Higher is nearer to the stars' own distances. The flow is the shipped model's, whose M_G are those of a Galaxy and whose prior
meant all stars.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from benchmarks.results import recording, table
from scipy.special import gammaln, logsumexp, ndtr

import redflower
from redflower.catalogue import DistancePrior, default_distance_prior, read_distance_prior
from redflower.flow import load_model
from redflower.physics import flow_condition

#: Of the Gaia catalogue, for whose stars Bailer-Jones et al. (2021) made their prior. [mag]
CATALOGUE_LIMIT_MAG = 20.7
#: Gaia DR2's parallaxes are too small by this. [mas]
DR2_ZERO_POINT_MAS = 0.029
G_COEFFICIENT, S82_EBV_MAG = 2.4, 0.045
LIMITS_MAG = ((13.5, 17.0), (13.5, 19.0))
LOG_DISTANCE = np.linspace(np.log(10.0), np.log(6e4), 700)


class Field:
    """One place: the flow's density and shares at every distance."""

    def __init__(self, l_deg: float, b_deg: float) -> None:
        first = load_model("mock-sky").flow.prepared().leading(1)
        self.modulus = 5.0 * LOG_DISTANCE / np.log(10.0) - 5.0
        place = jnp.float32(l_deg), jnp.float32(b_deg)
        conditions = jax.vmap(lambda d: flow_condition(d, *place))(
            jnp.asarray(np.exp(LOG_DISTANCE), jnp.float32)
        )
        self._u = jax.jit(jax.vmap(lambda m, c: first.forward(m[None], c)[0][0]))
        density = jax.vmap(lambda m, c: first.log_prob_terms(m[None], c)[0])
        self._density = jax.jit(
            jax.vmap(lambda g: density(g - jnp.asarray(self.modulus, jnp.float32), conditions))
        )
        self._conditions = conditions

    def share_below(self, limit_mag: float) -> np.ndarray:
        """Share of all stars at each distance that are brighter than a limit in G."""
        m_g = jnp.asarray(limit_mag - self.modulus, jnp.float32)
        return ndtr(np.asarray(self._u(m_g, self._conditions), float))

    def log_evidences(
        self, g_mag: np.ndarray, parallax_mas: np.ndarray, error_mas: np.ndarray, limits: tuple[float, float],
        log_prior: np.ndarray,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        """ln p(G, parallax | in the sample) of every star, for the three meanings of a prior per ln d."""
        log_g = np.asarray(self._density(jnp.asarray(g_mag, jnp.float32)), float)
        off = (parallax_mas[:, None] - 1000.0 * np.exp(-LOG_DISTANCE)) / error_mas[:, None]
        log_likelihood = log_g - 0.5 * off**2 - np.log(np.sqrt(2 * np.pi) * error_mas[:, None])
        selected = np.maximum(self.share_below(limits[1]) - self.share_below(limits[0]), 1e-300)
        out = {}
        for name, share in (
            ("of all stars", np.ones_like(selected)),
            (
                f"of stars to G = {CATALOGUE_LIMIT_MAG}",
                np.maximum(self.share_below(CATALOGUE_LIMIT_MAG), 1e-300),
            ),
            ("of the sample's stars", selected),
        ):
            prior = log_prior - np.log(share)
            normaliser = logsumexp(prior + np.log(selected))
            out[name] = logsumexp(log_likelihood + prior, axis=1) - normaliser
        return out


def log_prior_at(prior: DistancePrior, l_deg: float, b_deg: float) -> np.ndarray:
    """ln of the prior per ln d, but for a constant."""
    at = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic").icrs
    log_length, alpha, beta = (v[0] for v in prior.lookup(np.array([at.ra.deg]), np.array([at.dec.deg])))
    x = LOG_DISTANCE - log_length
    return np.log(alpha) - gammaln((beta + 1) / alpha) + (beta + 1) * x - np.exp(alpha * x)


def main() -> None:
    folder = Path(sys.argv[1])
    raw = Table.read(folder / "s82_gaiadr2_ps1.fits")
    columns = [
        np.ma.filled(np.ma.asarray(raw[n]).astype(float), np.nan)
        for n in ("phot_g_mean_mag", "parallax", "parallax_error")
    ]
    l_deg, b_deg = float(np.median(raw["l"])), float(np.median(raw["b"]))
    sky = redflower.simulate(
        4000, seed=3, preset="cone", l_deg=l_deg, b_deg=b_deg, radius_deg=1.0, clouds=(), g_faint_mag=19.0
    )
    mock = [np.asarray(sky[n], float) for n in ("phot_g_mean_mag", "parallax", "parallax_error")]
    mock_zero = redflower.prepare(sky, purpose="inference", limits=None).table["parallax_zero_point"]
    fields = {
        "Stripe 82": (columns[0] - G_COEFFICIENT * S82_EBV_MAG, columns[1] + DR2_ZERO_POINT_MAS, columns[2]),
        "mock sky": (mock[0], mock[1] - float(np.median(mock_zero)), mock[2]),
    }
    priors = {
        "Bailer-Jones et al. 2021": read_distance_prior(folder / "bailerjones2021_prior_summary.csv"),
        "mock Galaxy": default_distance_prior(),
    }
    field = Field(l_deg, b_deg)
    lines = table(
        {
            "field": "", "stars": ",", "prior": "", "read as": "", "ln evidence a star": ".3f", "less that of all stars": "+.3f",
            "error": ".3f",
        }
    )  # fmt: skip
    for name, (g, parallax, error) in fields.items():
        for limits in LIMITS_MAG:
            keep = (g > limits[0]) & (g < limits[1]) & np.isfinite(parallax) & (error > 0)
            for prior_name, prior in priors.items():
                found = field.log_evidences(
                    g[keep], parallax[keep], error[keep], limits, log_prior_at(prior, l_deg, b_deg)
                )
                best = found["of all stars"]
                for meaning, values in found.items():
                    less = values - best
                    lines.row(
                        f"{name}, G < {limits[1]:g}", keep.sum(), prior_name, meaning, values.mean(), less.mean(),
                        less.std() / np.sqrt(len(less)),
                    )  # fmt: skip


if __name__ == "__main__":
    with recording("prior-meaning"):
        main()
