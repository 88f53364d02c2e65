"""The compiled steps of the distillation: what they learn from, their rates, and how many fit into a time."""

import math
import time
from typing import Any, Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from redflower.flow.conditional import needed_bands
from redflower.flow.emulator import Emulator, Noise
from redflower.flow.emulator_networks import EmulatorStructure, density_masks
from redflower.physics import ExtinctionLaw
from redflower.train.config import EmulatorConfig
from redflower.train.distil_stars import Batch, draw_batch

#: Held-out stars that judge the networks.
CHECK_STARS: Final = 16_384
#: Steps between looks at the clock, where the time is limited, and the fewest that a limit leaves.
CLOCK_STEPS: Final = 50
LEAST_STEPS: Final = 300


def emulator_structure(config: EmulatorConfig) -> EmulatorStructure:
    """Return the sizes of the networks of a configuration."""
    return EmulatorStructure(*(getattr(config, name) for name in EmulatorStructure._fields))


class DistilData(NamedTuple):
    """What the networks learn from: x and (log10 R/pc, log10 Z/pc) of stars, also of those held out, and errors and gaps."""

    stars: tuple[Array, Array]
    held_out: tuple[Array, Array]
    patterns: Noise


class DistilSteps:
    """The compiled step and check of a configuration: they serve any flow of these bands, and are compiled once."""

    def __init__(self, config: EmulatorConfig, law: ExtinctionLaw, n_bands: int) -> None:
        masks = density_masks(n_bands, emulator_structure(config))
        self.optimiser = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(1.0, b2=0.99))

        @eqx.filter_jit
        def step(
            networks: Any,
            opt_state: Any,
            rate: Array,
            emulator: Emulator,
            data: DistilData,
            key: PRNGKeyArray,
        ) -> tuple[Any, Any]:
            batch = draw_batch(law, emulator, data.stars, data.patterns, key, config.batch_size)

            def loss(networks: Any) -> Array:
                return sum(_losses(with_networks(emulator, networks), batch, masks), start=jnp.asarray(0.0))

            gradient = jax.grad(loss)(networks)
            updates, opt_state = self.optimiser.update(gradient, opt_state)
            return optax.apply_updates(networks, jax.tree.map(lambda a: rate * a, updates)), opt_state

        @eqx.filter_jit
        def check(
            networks: Any, emulator: Emulator, data: DistilData, key: PRNGKeyArray
        ) -> tuple[Array, Array]:
            batch = draw_batch(law, emulator, data.held_out, data.patterns, key, CHECK_STARS)
            return _losses(with_networks(emulator, networks), batch, masks)

        self.step, self.check = step, check


def emulator_rate(config: EmulatorConfig, n_done: int, n_steps: int) -> float:
    """Return the learning rate after some of the steps: a short rise, then a half cosine down to 0.003 of it."""
    n_rising = min(300, config.n_steps // 4)
    if n_done < n_rising:
        return config.learning_rate * n_done / n_rising
    progress = min(1.0, (n_done - n_rising) / max(1, n_steps - n_rising))
    return config.learning_rate * (0.003 + 0.997 * 0.5 * (1.0 + math.cos(math.pi * progress)))


class Clock:
    """How many steps fit into the time that is left."""

    def __init__(self, n_steps: int, until_s: float | None) -> None:
        self.n_steps = n_steps
        self._until_s = until_s
        self._since: tuple[int, float] | None = None

    def is_due(self, n_done: int) -> bool:
        """Tell whether to look: after the first step, which compiles, and then now and again."""
        return self._until_s is not None and (n_done == 1 or n_done % CLOCK_STEPS == 0)

    def look(self, n_done: int) -> None:
        """Take away steps that will not be done in time."""
        now = time.monotonic()
        if self._since is None:
            self._since = n_done, now
            return
        assert self._until_s is not None
        step_s = (now - self._since[1]) / (n_done - self._since[0])
        fitting = n_done + int(max(0.0, self._until_s - now) / step_s)
        self.n_steps = min(self.n_steps, max(fitting, LEAST_STEPS, n_done))


def with_networks(emulator: Emulator, networks: Any) -> Emulator:
    return eqx.tree_at(lambda e: (e.density, e.denoiser), emulator, networks)


def _losses(
    emulator: Emulator, batch: Batch, masks: tuple[np.ndarray, ...]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    def one(
        y: Array, ebv_mag: Array, condition: Array, noise: Noise, magnitude_mag: Array
    ) -> tuple[Array, Array]:
        seen = emulator.see(y, ebv_mag, condition, noise)
        needed = needed_bands(noise.observed)
        log_density = jnp.sum(emulator.log_factors(seen, noise, masks))
        log_proposal = jnp.sum(jnp.where(needed, emulator.log_proposal(y, seen, noise, magnitude_mag), 0.0))
        return -log_density, -log_proposal

    density, denoiser = jax.vmap(one)(
        batch.y, batch.ebv_mag, batch.condition, batch.noise, batch.magnitude_mag
    )
    return jnp.mean(density), jnp.mean(denoiser)
