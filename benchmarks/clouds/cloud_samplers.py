"""The sampler of clouds beside kept libraries on the same sightlines: evidence, scatter, places found again, cost.

    python -m benchmarks.clouds.cloud_samplers [--repeats 3] [--only NAME] [--out FILE] [--summary]

Needs the extra `samplers`. Every sampler gets the same posteriors: of 1, 2 and 3 clouds, on the unit
cube, clouds in the order of distance. The reference is the own sampler with four times as many particles and half as many
final moves again. Libraries call the likelihood in numpy, but for BlackJAX's Hamiltonian moves: their likelihood is in JAX, for
its gradient. Every run is one line of JSON in the output file.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from benchmarks.results import recording, say, table  # noqa: E402
from scipy.special import ndtr, ndtri  # noqa: E402

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG  # noqa: E402
from redflower.posterior.fast.weights import pareto_k  # noqa: E402
from redflower.sightline import DustPrior, fit_sightline, make_grid, star_cells  # noqa: E402
from redflower.sightline.clouds import clouds_at  # noqa: E402
from redflower.sightline.likelihood import StarSet  # noqa: E402
from redflower.sightline.tempering import TemperingSettings  # noqa: E402
from redflower.validate.mock_sightlines import mock_sightline  # noqa: E402

EBV_RANGE_MAG = (EBV_MIN_MAG, EBV_MAX_MAG)
#: Stars, and (distance in pc, E(B-V) in mag) of the clouds.
CASES = ((150, [(370.0, 0.10), (1500.0, 0.15)]), (300, [(600.0, 0.03), (900.0, 0.05)]))
MAX_CLOUDS = 3
#: A run whose evidence is this far below the reference has missed a place. [nat]
MISSED_NAT = 1.0
N_PARTICLES = 600


def in_order(cube: np.ndarray, n_shared: int, n_clouds: int) -> np.ndarray:
    """Map the unit cube to itself so that the clouds are in the order of distance, as those of n uniform draws are."""
    points = cube.copy()
    place = np.ones(len(points))
    for k in range(n_clouds, 0, -1):
        place = place * points[:, n_shared + 3 * (k - 1)] ** (1.0 / k)
        points[:, n_shared + 3 * (k - 1)] = place
    return points


class Posterior:
    """The posterior of a number of clouds, as each library wants it."""

    def __init__(self, stars: StarSet, prior: DustPrior, n_clouds: int) -> None:
        self.stars, self.prior, self.n_clouds = stars, prior, n_clouds
        self.n_dim = prior.n_shared + 3 * n_clouds
        self.n_calls = 0

    def log_likelihood(self, cube: np.ndarray) -> np.ndarray:
        """Evaluate ln likelihood of points of the unit cube."""
        cube = np.clip(np.atleast_2d(np.asarray(cube, dtype=float)), 1e-12, 1.0 - 1e-12)
        self.n_calls += len(cube)
        points = in_order(cube, self.prior.n_shared, self.n_clouds)
        return self.stars.log_likelihood(clouds_at(points, self.prior, self.stars.grid, self.n_clouds))


def jax_log_likelihood(stars: StarSet, prior: DustPrior, n_clouds: int) -> Callable:
    """Return ln likelihood of normal coordinates in JAX, of a steady zero point. Equations: ES1 to ES5."""
    up_to = jnp.asarray(stars._up_to)
    ebv_edges = jnp.asarray(stars.grid.ebv_edges_mag, jnp.float32)
    edges = stars.grid.modulus_edges_mag
    near, far = prior.modulus_mag
    low, high = prior.scatter_mag
    floor = ndtr(stars.grid.ebv_range_mag[0] / prior.foreground_std_mag)
    nearest, farthest = (
        1.0 / (e + prior.ebv_scale_mag) for e in (prior.ebv_min_mag, stars.grid.ebv_range_mag[1])
    )

    def log_likelihood(z: jax.Array) -> jax.Array:
        u = jnp.clip(jax.scipy.special.ndtr(z), 1e-6, 1.0 - 1e-6)
        foreground = prior.foreground_std_mag * jax.scipy.special.ndtri(floor + (1.0 - floor) * u[0])
        scatter = low * (high / low) ** u[1]
        outliers = -jnp.expm1(jnp.log1p(-u[2]) / prior.outlier_exponent)
        place, height, patch = (u[prior.n_shared + k :: 3] for k in range(3))
        power = place ** (1.0 / jnp.arange(1, n_clouds + 1))
        modulus = near + (far - near) * jnp.cumprod(power[::-1])[::-1]
        ebv = 1.0 / (nearest - height * (nearest - farthest)) - prior.ebv_scale_mag
        mean = prior.patchiness_mean
        patchiness = -mean * jnp.log1p(patch * jnp.expm1(-1.0 / mean))
        nothing = jnp.zeros(1)
        level = foreground + jnp.concatenate([nothing, jnp.cumsum(ebv)])
        spread = jnp.sqrt(scatter**2 + jnp.concatenate([nothing, jnp.cumsum((patchiness * ebv) ** 2)]))
        below = jax.scipy.special.ndtr((ebv_edges - level[:, None]) / spread[:, None])
        kernel = jnp.diff(below, axis=1) / jnp.maximum(below[:, -1:] - below[:, :1], 1e-5)
        inlier = kernel[-1] @ up_to[-1]
        at = jnp.clip((modulus - edges[0]) / (edges[1] - edges[0]), 0.0, len(edges) - 1.0)
        cell = jnp.minimum(at.astype(int), len(edges) - 2)
        part = at - cell
        for k in range(n_clouds):
            both = jax.lax.dynamic_slice_in_dim(up_to, cell[k], 2).reshape(-1, up_to.shape[2])
            change = kernel[k] - kernel[k + 1]
            inlier = inlier + jnp.concatenate([(1.0 - part[k]) * change, part[k] * change]) @ both
        return jnp.log((1.0 - outliers) * jnp.maximum(inlier, 1e-30) + outliers).sum()

    return log_likelihood


def by_nautilus(posterior: Posterior, seed: int) -> tuple[float, float]:
    """Run nautilus with a quarter of its usual live points and networks, and a tenth of its usual draws."""
    from nautilus import Sampler

    sampler = Sampler(
        lambda u: u,
        posterior.log_likelihood,
        n_dim=posterior.n_dim,
        n_live=500,
        n_networks=1,
        vectorized=True,
        seed=seed,
    )
    sampler.run(n_eff=1000, verbose=False)
    return float(sampler.log_z), 0.0


def by_dynesty(posterior: Posterior, seed: int) -> tuple[float, float]:
    """Run dynesty with random walks."""
    import dynesty

    sampler = dynesty.NestedSampler(
        lambda u: float(posterior.log_likelihood(u)[0]), lambda u: u, posterior.n_dim, nlive=300, sample="rwalk",
        rstate=np.random.default_rng(seed),
    )  # fmt: skip
    sampler.run_nested(dlogz=0.1, print_progress=False)
    return float(sampler.results.logz[-1]), 0.0


def by_blackjax(posterior: Posterior, seed: int, *, hamiltonian: bool) -> tuple[float, float]:
    """Run BlackJAX's adaptive tempered SMC; moves are tuned to the particles before every temperature."""
    import blackjax
    from blackjax.smc import adaptive_tempered, resampling

    dim, n_clouds = posterior.n_dim, posterior.n_clouds

    def by_numpy(z: np.ndarray) -> np.ndarray:
        z = np.asarray(z)
        return posterior.log_likelihood(ndtr(z.reshape(-1, dim))).reshape(z.shape[:-1]).astype(np.float32)

    def log_likelihood(z: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.pure_callback(by_numpy, shape, z, vmap_method="broadcast_all")

    if hamiltonian:
        log_likelihood = jax_log_likelihood(posterior.stars, posterior.prior, n_clouds)
        move, first = blackjax.hmc.build_kernel(), blackjax.hmc.init

        def step(key, state, log_density, scale, spread):
            return move(key, state, log_density, scale, spread**2, 8)
    else:
        move = blackjax.mcmc.random_walk.build_additive_step()
        first = blackjax.additive_step_random_walk.init

        def step(key, state, log_density, scale, spread):
            return move(key, state, log_density, lambda k, x: scale * spread @ jax.random.normal(k, x.shape))

    kernel = jax.jit(
        adaptive_tempered.build_kernel(
            lambda z: -0.5 * jnp.sum(z**2), log_likelihood, step, first, resampling.systematic, 0.5,
            # Particle by particle where the likelihood is in JAX: side by side its matrices do not fit a cache.
            batch_size=1 if hamiltonian else 0,
        ),
        static_argnums=2,
    )  # fmt: skip
    key = jax.random.key(seed)
    state = adaptive_tempered.init(jax.random.normal(key, (N_PARTICLES, dim)))
    log_z, scale, compiling = 0.0, 0.3 if hamiltonian else 2.38 / np.sqrt(dim), 0.0
    # As many moves as the own sampler had when it was weighed; a Hamiltonian one is 8 gradients.
    n_moves = 3 * n_clouds if hamiltonian else 6 * n_clouds
    n_steps = 0
    while float(state.tempering_param) < 1.0:
        z = np.asarray(state.particles)
        spread = z.std(axis=0) if hamiltonian else np.linalg.cholesky(np.cov(z.T) + 1e-8 * np.eye(dim))
        values = {"scale": jnp.float32(scale)[None], "spread": jnp.asarray(spread, jnp.float32)[None]}
        key = jax.random.fold_in(key, n_steps)
        if n_steps == 0:
            began = time.process_time()
            compiled = kernel.lower(key, state, n_moves, values).compile()
            compiling = time.process_time() - began
        state, info = compiled(key, state, values)
        log_z += float(info.log_likelihood_increment)
        accepted = float(
            np.mean(info.update_info.acceptance_rate if hamiltonian else info.update_info.is_accepted)
        )
        scale *= np.exp(accepted - (0.7 if hamiltonian else 0.25))
        n_steps += 1
    if hamiltonian:
        posterior.n_calls += n_steps * n_moves * 8 * N_PARTICLES
    return log_z, compiling


LIBRARIES = {
    "BlackJAX, random walks": lambda p, seed: by_blackjax(p, seed, hamiltonian=False),
    "BlackJAX, Hamiltonian": lambda p, seed: by_blackjax(p, seed, hamiltonian=True),
    "nautilus": by_nautilus,
    "dynesty": by_dynesty,
}
#: Sightlines in a batch whose likelihoods are timed.
BATCH = 400
#: Stars and weights of each in the comparison of Pareto's k.
N_PARETO, N_WEIGHTS = 200, 1000


def likelihood_costs() -> list[dict]:
    """Time the likelihood in numpy and in JAX, for the first sightline. [microseconds a sightline]"""
    mock = mock_sightline(*CASES[0], np.random.default_rng(0))
    grid, prior = make_grid(EBV_RANGE_MAG), DustPrior()
    stars = StarSet(star_cells(mock.density, grid), grid)
    rows = []
    for n_clouds in range(1, MAX_CLOUDS + 1):
        posterior = Posterior(stars, prior, n_clouds)
        cube = np.random.default_rng(n_clouds).random((BATCH, posterior.n_dim))
        one, z = jax_log_likelihood(stars, prior, n_clouds), jnp.asarray(ndtri(cube), jnp.float32)
        forms = {
            "numpy": (posterior.log_likelihood, cube),
            "JAX, side by side": (jax.jit(jax.vmap(one)), z),
            "JAX, one after another": (jax.jit(partial(jax.lax.map, one)), z),
            "JAX, gradient, one after another": (jax.jit(partial(jax.lax.map, jax.grad(one))), z),
        }
        for name, (form, points) in forms.items():
            jax.block_until_ready(form(points))
            began = time.process_time()
            for _ in range(5):
                jax.block_until_ready(form(points))
            spent = (time.process_time() - began) / 5 / BATCH
            rows.append({"form": name, "clouds": n_clouds, "microseconds": 1e6 * spent})
    return rows


def pareto_costs() -> list[dict]:
    """Compare Pareto's k of importance weights with ArviZ's: of stars whose weights have tails from k = 0.1 to 1."""
    import arviz

    rng = np.random.default_rng(0)
    true_k = np.linspace(0.1, 1.0, N_PARETO)
    log_weight = true_k[:, None] * rng.exponential(size=(N_PARETO, N_WEIGHTS))
    rows, found = [], {}
    for name, compute in (
        ("redflower", lambda: pareto_k(log_weight)),
        ("ArviZ", lambda: np.asarray(arviz.psislw(log_weight)[1])),
    ):
        compute()
        began = time.process_time()
        found[name] = np.asarray(compute())
        error = found[name] - true_k
        rows.append({"of": name, "milliseconds": 1e3 * (time.process_time() - began) / N_PARETO,
                     "mean": float(error.mean()), "scatter": float(error.std())})  # fmt: skip
    return rows


LIKELIHOOD, PARETO, OWN, REFERENCE = "likelihood", "pareto", "redflower", "redflower, four times the effort"


def own(density, seed: int, settings: TemperingSettings) -> list[dict]:
    """Fit as `redflower sightline` does; the evidences, and what each number of clouds took."""
    spent = [time.process_time()]
    fit = fit_sightline(
        density, EBV_RANGE_MAG, np.random.default_rng(seed), max_clouds=MAX_CLOUDS, settings=settings, monotone=False,
        progress=lambda _: spent.append(time.process_time()),
    )  # fmt: skip
    cpu = np.diff(spent)
    return [
        {
            "clouds": n,
            "log_evidence": fit.models[n].log_evidence,
            "cpu_s": cpu[n],
            "compiling_s": 0.0,
            "calls": None,
        }
        for n in range(1, MAX_CLOUDS + 1)
    ]


def run(case: int, name: str, seed: int) -> list[dict]:
    """Run a sampler on the three posteriors of a sightline."""
    n_stars, clouds = CASES[case]
    mock = mock_sightline(n_stars, clouds, np.random.default_rng(case))
    usual = TemperingSettings()
    if name == OWN:
        return own(mock.density, seed, usual)
    if name == REFERENCE:
        return own(
            mock.density,
            seed,
            TemperingSettings(n_particles=4 * usual.n_particles, n_final=usual.n_final * 3 // 2),
        )
    grid = make_grid(EBV_RANGE_MAG)
    cells = star_cells(mock.density, grid)
    stars = StarSet(cells, grid)
    # The distances of the prior are drawn in to the stars, as the fit does.
    quick = TemperingSettings(n_particles=40, n_moves=2, n_final=4)
    prior = fit_sightline(
        mock.density, EBV_RANGE_MAG, np.random.default_rng(0), max_clouds=0, settings=quick, monotone=False
    ).prior
    rows = []
    for n_clouds in range(1, MAX_CLOUDS + 1):
        posterior = Posterior(stars, prior, n_clouds)
        began = time.process_time()
        log_evidence, compiling = LIBRARIES[name](posterior, seed)
        rows.append(
            {"clouds": n_clouds, "log_evidence": log_evidence, "cpu_s": time.process_time() - began,
             "compiling_s": compiling, "calls": posterior.n_calls}
        )  # fmt: skip
        print(case, name, seed, rows[-1], flush=True)
    return rows


def summary(records: list[dict]) -> None:
    """Say what the runs found."""
    stars = " and ".join(str(n) for n, _ in CASES)
    say(
        f"Posteriors of 1, 2 and 3 clouds, of sightlines of {stars} stars with two clouds. ln evidence less that of the "
        f"reference, nat: mean, and scatter from run to run. A place is missed where the evidence is more than "
        f"{MISSED_NAT:.0f} nat too low. Processor time of one posterior without compilation, mean. "
        "A sampler that was stopped before all its runs has fewer."
    )
    costs = [r for r in records if r["name"] == LIKELIHOOD]
    tails = [r for r in records if r["name"] == PARETO]
    records = [r for r in records if r["name"] not in (LIKELIHOOD, PARETO)]
    reference = {(r["case"], r["clouds"]): r["log_evidence"] for r in records if r["name"] == REFERENCE}
    rows = table(
        {"sampler": "", "clouds": "d", "runs": "d", "mean": "+.2f", "scatter": ".2f", "missed": "d", "likelihoods": ",",
         "time [s]": ".1f", "compilation [s]": ".1f"}
    )  # fmt: skip
    for name in (REFERENCE, OWN, *LIBRARIES):
        for n_clouds in range(1, MAX_CLOUDS + 1):
            mine = [r for r in records if r["name"] == name and r["clouds"] == n_clouds]
            if not mine:
                continue
            off = np.array([r["log_evidence"] - reference[r["case"], n_clouds] for r in mine])
            case = np.array([r["case"] for r in mine])
            missed = off < -MISSED_NAT
            parts = [off[(case == c) & ~missed] for c in np.unique(case)]
            variances = [part.var(ddof=1) for part in parts if len(part) > 1]
            calls = [r["calls"] for r in mine if r["calls"]]
            rows.row(
                name, n_clouds, len(mine), off[~missed].mean() if name != REFERENCE and not missed.all() else None,
                np.sqrt(np.mean(variances)) if variances else None, int(missed.sum()),
                round(np.mean(calls)) if calls else None, np.mean([r["cpu_s"] - r["compiling_s"] for r in mine]),
                np.mean([r["compiling_s"] for r in mine]),
            )  # fmt: skip

    say(f"Processor time of a likelihood of {CASES[0][0]} stars, of {BATCH} at a time.")
    times = table(
        {"likelihood": ""} | {f"{n} clouds [microseconds]": ".0f" for n in range(1, MAX_CLOUDS + 1)}
    )
    for form in dict.fromkeys(r["form"] for r in costs):
        times.row(form, *(r["microseconds"] for r in costs if r["form"] == form))
    say(
        f"Pareto's k of {N_PARETO} stars of {N_WEIGHTS:,} weights, whose tails have k from 0.1 to 1: found less true."
    )
    rows = table({"Pareto's k": "", "mean": "+.3f", "scatter": ".3f", "processor time of a star [ms]": ".3f"})
    for r in tails:
        rows.row(r["of"], r["mean"], r["scatter"], r["milliseconds"])


def main() -> None:
    """Run every sampler and sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help="a sampler's name: run this alone, and sum up nothing")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/output/cloud-samplers.jsonl"))
    parser.add_argument("--summary", action="store_true", help="only sum up what the output file holds")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    if not arguments.summary:
        if arguments.only is None:
            arguments.out.unlink(missing_ok=True)
        for name in [arguments.only] if arguments.only else [REFERENCE, OWN, *LIBRARIES]:
            for case in range(len(CASES)):
                for seed in range(1 if name == REFERENCE else arguments.repeats):
                    with arguments.out.open("a") as file:
                        for row in run(case, name, 100 + seed):
                            file.write(json.dumps({"case": case, "name": name, "seed": seed, **row}) + "\n")
        if arguments.only is None:
            with arguments.out.open("a") as file:
                file.writelines(json.dumps({"name": LIKELIHOOD, **row}) + "\n" for row in likelihood_costs())
                file.writelines(json.dumps({"name": PARETO, **row}) + "\n" for row in pareto_costs())
    if arguments.only is None:
        with recording("cloud-samplers", seed=100):
            summary([json.loads(line) for line in arguments.out.read_text().splitlines()])


if __name__ == "__main__":
    main()
