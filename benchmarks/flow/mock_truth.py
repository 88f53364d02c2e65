"""The shipped model against the mock sky that it was trained on, on stars it never saw.

Usage: python -m benchmarks.flow.mock_truth [MODEL ...]

Prints, for stars of another sky: the log density of their noise-free colour-magnitude vectors at their true distance, within
the limits; the spread of the flow's coordinates u, which is 1 where the flow is as sharp as the truth; M_G against the
simulator's own density (a histogram of many more stars, in cells of (R, Z)); and two-sample tests of every colour pair in
slices of (R, Z), noise put on the flow's draws as on the stars. `docs/measured/training.md` quotes it.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.results import recording, say
from jax.scipy.special import ndtr, ndtri
from scipy.stats import ks_2samp

import redflower
from redflower.bands import BANDS
from redflower.flow import load_model
from redflower.physics import distance_modulus, flow_condition
from redflower.simulate.survey import catalogue_errors, listed

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
N_STARS, N_HISTOGRAM = 20_000, 200_000
#: Typical errors of the two-sample tests. [mag]
NOISE_MAG = np.array([0.003, 0.006, 0.004, 0.007, 0.006, 0.005, 0.006, 0.007, 0.03, 0.04, 0.05])
#: Times that the stars are halved at random.
N_HALVES = 5
#: Numbers of stars, per slice and on either side, at which a test is also held that a user of so many could hold.
SMALLER = (1000, 3000)
#: The level of those tests, which is also their rate of false alarms.
LEVEL = 0.01
FIRST_2MASS = [band.survey for band in BANDS].index("2mass")


def truth(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise-free x, distance modulus and (log10 R, log10 Z) of mock stars."""
    sky = redflower.simulate(n, seed=seed, include_truth=True, **LIMITS)
    x = np.stack([np.asarray(sky[f"true_x_{band.label}"].value) for band in BANDS], axis=1).astype(np.float32)
    distance, l_deg, b_deg = (
        jnp.asarray(np.asarray(sky[name].value), jnp.float32) for name in ("true_distance", "l", "b")
    )
    condition = jax.jit(jax.vmap(flow_condition))(distance, l_deg, b_deg)
    return x, np.asarray(jax.vmap(distance_modulus)(distance)), np.asarray(condition)


def slices(condition: np.ndarray, edges: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Number of the (R, Z) slice: three in Z by three in R."""
    z = np.searchsorted(edges[1], condition[:, 1])
    return 3 * z + np.searchsorted(edges[0], condition[:, 0])


def magnitude_kl(lead, x, mu, condition, edges, many) -> float:
    """Mean over stars of ln p*(M_G | d, slice, limits) - ln q(...), with p* a histogram over apparent G in slices of mu.

    The stars of a cell in (slice, mu) of 0.25 mag have nearly one distance; their histogram of M_G in bins of
    0.25 mag is the simulator's density, with an error that the number of bins over twice the count bounds.
    """
    x_many, mu_many, condition_many = many
    total, weight, noise = 0.0, 0, 0.0
    width = 0.25
    m_edges = np.arange(-4.0, 18.0, width)
    cell = lambda c, m: slices(c, edges) * 1000 + np.floor(m / 0.5).astype(int)  # noqa: E731
    here, there = cell(condition, mu), cell(condition_many, mu_many)
    mass = jax.jit(
        jax.vmap(
            lambda m, c, low, high: (
                lead.log_mass_between(low, high, c)
                - lead.log_mass_between(LIMITS["g_bright_mag"] - m, LIMITS["g_faint_mag"] - m, c)
            )
        )
    )
    for number in np.unique(here):
        rows, others = np.flatnonzero(here == number), np.flatnonzero(there == number)
        if len(others) < 4000:
            continue
        counts = np.histogram(x_many[others, 0], m_edges)[0].astype(float)
        place = np.digitize(x[rows, 0], m_edges) - 1
        ok = counts[place] > 0
        rows, place = rows[ok], place[ok]
        # Both as the mass of a bin, cut by the limits at the star's own distance.
        low = np.maximum(m_edges[place], LIMITS["g_bright_mag"] - mu[rows])
        high = np.minimum(m_edges[place + 1], LIMITS["g_faint_mag"] - mu[rows])
        inside = high - low > 0.2
        rows, place, low, high = rows[inside], place[inside], low[inside], high[inside]
        if not len(rows):
            continue
        log_q = np.asarray(
            mass(*(jnp.asarray(a, jnp.float32) for a in (mu[rows], condition[rows], low, high)))
        )
        log_p = np.log(counts[place] / counts.sum())
        total += float(np.sum(log_p - log_q))
        noise += len(rows) * (counts > 0).sum() / (2 * counts.sum())
        weight += len(rows)
    return total / weight, noise / weight, weight


def draw_within_limits(flow, mu: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """One draw of the flow for every star, at its distance and within the limits: u_1 from a truncated normal."""
    lead = flow.leading(1)

    def one(key, m, c):
        low, high = (
            ndtr(lead.forward(jnp.reshape(LIMITS[k] - m, (1,)), c)[0][0])
            for k in ("g_bright_mag", "g_faint_mag")
        )
        first, rest = jax.random.split(key)
        level = jax.random.uniform(first, (), minval=low, maxval=high)
        u = jax.random.normal(rest, (flow.n_bands,)).at[0].set(ndtri(jnp.clip(level, 1e-6, 1 - 1e-6)))
        return flow.inverse(u, c)

    keys = jax.random.split(jax.random.key(3), len(mu))
    mapped = jax.jit(jax.vmap(one))
    return np.concatenate(
        [
            np.asarray(mapped(keys[i : i + 5000], mu[i : i + 5000], condition[i : i + 5000]))
            for i in range(0, len(mu), 5000)
        ]
    )


def main() -> None:
    """Print everything for every model named."""
    x, mu, condition = truth(N_STARS, 501)
    many = truth(N_HISTOGRAM, 502)
    edges = tuple(np.quantile(condition[:, k], [1 / 3, 2 / 3]) for k in (0, 1))
    for name in sys.argv[1:] or ["mock-sky"]:
        flow = load_model(name).flow.prepared()
        lead = flow.leading(1)
        terms = np.asarray(jax.jit(jax.vmap(flow.log_prob_terms))(x, condition))
        mass = np.asarray(
            jax.jit(
                jax.vmap(
                    lambda m, c, lead=lead: lead.log_mass_between(
                        LIMITS["g_bright_mag"] - m, LIMITS["g_faint_mag"] - m, c
                    )
                )
            )(mu, condition)
        )
        say(f"{name}: ln density of noise-free x at the true distance, within the limits: "
              f"{np.mean(terms.sum(axis=1) - mass):.3f} (11 bands), {np.mean(terms[:, :8].sum(axis=1) - mass):.3f} (8), "
              f"{np.mean(terms[:, 0] - mass):.3f} (M_G)")  # fmt: skip
        u = np.asarray(jax.jit(jax.vmap(lambda x, c, f=flow: f.forward(x, c)[0]))(x, condition))
        spread = 1.4826 * np.median(np.abs(u - np.median(u, axis=0)), axis=0)
        say(
            "  spread of u: "
            + ", ".join(f"{b.label} {s:.2f}" for b, s in zip(BANDS[1:], spread[1:], strict=True))
        )
        kl, noise, n = magnitude_kl(lead, x, mu, condition, edges, many)
        say(
            f"  M_G: simulator's own ln density less the flow's {kl:+.4f} nat (histogram error {noise:.4f}; {n} stars)"
        )
        # As many stars as there are, so that what is seen is the flow's distance and not chance.
        x_many, mu_many, condition_many = many
        drawn = draw_within_limits(flow, mu_many, condition_many)
        two_sample_tests(x_many, drawn, mu_many, slices(condition_many, edges))


def two_sample_tests(
    x: np.ndarray, drawn: np.ndarray, mu: np.ndarray, number: np.ndarray, *, noise_on_draws: bool = True
) -> None:
    """Kolmogorov-Smirnov distances of every colour pair and slice, stars against draws.

    Pairs with a band of 2MASS twice: over all stars, of whose faint ones no catalogue taught the flow their near-infrared
    colours, and over those that 2MASS would have listed, drawn ones by their own magnitudes.
    """
    rng = np.random.default_rng(4)
    noisy = [with_noise(x, NOISE_MAG, rng), with_noise(drawn, NOISE_MAG * noise_on_draws, rng)]
    seen = [_in_2mass(v, mu, rng) for v in (x, drawn)]
    everything = [np.ones(len(v), dtype=bool) for v in noisy]
    optical = [(i, j) for i in range(FIRST_2MASS) for j in range(i)]
    infrared = [(i, j) for i in range(FIRST_2MASS, len(BANDS)) for j in range(i)]
    for name, pairs, keep in (
        ("Gaia and Pan-STARRS1", optical, everything),
        ("with 2MASS, all stars", infrared, everything),
        ("with 2MASS, stars that it lists", infrared, seen),
    ):
        found, by_chance = [], []
        rejected = {n: ([], []) for n in SMALLER}
        for part in range(9):
            a, b = (v[(number == part) & k] for v, k in zip(noisy, keep, strict=True))
            if min(len(a), len(b)) < 500:
                continue
            # Halves of the stars themselves, in the same pairs: what chance alone gives, at half the number. The pairs of
            # a slice go up and down together, so that it takes a few halves.
            orders = [rng.permutation(len(a)) for _ in range(N_HALVES)]
            halves = [(a[o[: len(a) // 2]], a[o[len(a) // 2 :]]) for o in orders]
            for i, j in pairs:
                found.append(
                    (_distance(a, b, i, j), f"{BANDS[i].label}-{BANDS[j].label}", part, min(len(a), len(b)))
                )
                by_chance += [_distance(*two, i, j) / np.sqrt(2.0) for two in halves]
            for n, (of_draws, of_stars) in rejected.items():
                if min(len(a), len(b)) < 2 * n:
                    continue
                first, second, third = a[orders[0][:n]], b[rng.permutation(len(b))[:n]], a[orders[0][-n:]]
                of_draws += [_test(first, second, i, j).pvalue < LEVEL for i, j in pairs]
                of_stars += [_test(first, third, i, j).pvalue < LEVEL for i, j in pairs]
        values = np.array([f[0] for f in found])
        say(
            f"  Kolmogorov-Smirnov distances, {name}: {len(found)} of pairs and slices, median {np.median(values):.4f} "
            f"(chance {np.median(by_chance):.4f}), 90 % {np.quantile(values, 0.9):.4f} "
            f"({np.quantile(by_chance, 0.9):.4f}), largest {values.max():.4f} ({max(by_chance):.4f})"
        )
        for n, (of_draws, of_stars) in rejected.items():
            if of_draws:
                say(
                    f"    with {n} stars a slice: {np.mean(of_draws):.3f} of {len(of_draws)} tests reject at {LEVEL}, "
                    f"{np.mean(of_stars):.3f} of stars against stars"
                )
        for statistic, pair, part, count in sorted(found, reverse=True)[:3]:
            say(f"    {pair} in slice {part}: {statistic:.4f} ({count} stars)")


def _test(a: np.ndarray, b: np.ndarray, i: int, j: int):
    """Kolmogorov-Smirnov test of a colour of two samples; the first coordinate is M_G, the others colours relative to G."""
    first, second = (v[:, i] - (v[:, j] if j else 0.0) for v in (a, b))
    return ks_2samp(first, second)


def _distance(a: np.ndarray, b: np.ndarray, i: int, j: int) -> float:
    return float(_test(a, b, i, j).statistic)


def _absolute(x: np.ndarray) -> np.ndarray:
    """Absolute magnitudes of many (M_G, colours)."""
    return np.concatenate([x[:, :1], x[:, :1] + x[:, 1:]], axis=1)


def _in_2mass(x: np.ndarray, mu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which noise-free stars 2MASS would list, in the simulator's survey."""
    apparent = (_absolute(x) + mu[:, None]).astype(np.float64)
    return listed(apparent, catalogue_errors(apparent, rng), np.zeros(len(x)))[:, FIRST_2MASS]


def with_noise(x: np.ndarray, error: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    absolute = _absolute(x) + error * rng.standard_normal(x.shape)
    return np.concatenate([absolute[:, :1], absolute[:, 1:] - absolute[:, :1]], axis=1)


if __name__ == "__main__":
    with recording("mock-truth", seed=501):
        main()
