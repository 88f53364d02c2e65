"""What a user may choose of an inference run."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG, OUTLIER_SHARE
from redflower.errors import InputError
from redflower.platforms import compute_platform
from redflower.seeds import check_seed


@dataclass(frozen=True)
class FastSettings:
    """How much the fast engine works, and when it is not satisfied.

    Attributes
    ----------
    check_nodes, check_draws_per_node : importance weights of every star; pairs, so an even number per node.
    second_nodes, second_draws_per_node : the same for the second look, at stars that these do not settle.
    refine_nodes, refine_draws_per_node : the same for a round of step 2, for stars that step 1 does not settle.
    refine_rounds : most rounds of step 2.
    min_check_ess : least effective number of the check's draws, as a share of them.
    max_shift : largest correction of the mean of E or of the distance modulus, in deviations.
    max_widening : largest correction of ln of their deviations.
    max_error : largest error of a mean by the weights' scatter about the correction, over the root of their nodes, in
        deviations.
    min_cut_drop : least drop of the density below its peak where a grid ends although the prior goes on. [nat]
    max_resolution_shift : largest effect of leaving out every other node, in deviations.
    min_refine_ess, max_pareto_k : what the weights of the nodes of all rounds must reach together, or the star goes on to
        NUTS: effective number, and shape of the tail.
    min_round_ess : least effective number per round so far for which further rounds are tried.
    """

    check_nodes: int = 24
    check_draws_per_node: int = 4
    second_nodes: int = 64
    second_draws_per_node: int = 4
    refine_nodes: int = 512
    refine_draws_per_node: int = 2
    refine_rounds: int = 48
    min_check_ess: float = 0.15
    max_shift: float = 0.6
    max_widening: float = 0.15
    max_error: float = 0.075
    min_cut_drop: float = 6.0
    max_resolution_shift: float = 0.35
    min_refine_ess: float = 180.0
    min_round_ess: float = 3.75
    max_pareto_k: float = 0.7

    def __post_init__(self) -> None:
        if not self.max_shift >= 0.0:
            raise InputError(f"max_shift must not be negative, in sigmas; got {self.max_shift}.")

    @classmethod
    def first_step_only(cls) -> "FastSettings":
        """Return settings that keep every star that the first step can infer in that step, to test or time it alone."""
        return cls(
            min_check_ess=0.0,
            max_shift=np.inf,
            max_widening=np.inf,
            max_error=np.inf,
            min_cut_drop=-np.inf,
            max_resolution_shift=np.inf,
        )


@dataclass(frozen=True)
class NutsSettings:
    """Length of the chains. The paper's are `PAPER_SETTINGS` (section 2.11); the defaults are shorter."""

    # Chains of all stars advance in step, so one long trajectory costs all of them its length. On the whitened
    # target 7 leapfrogs suffice for most stars; those that want more than the caps allow show a low ess.
    n_chains: int = 4
    n_warmup: int = 150
    n_draws: int = 200
    target_accept: float = 0.85
    max_tree_depth_warmup: int = 4
    max_tree_depth: int = 5

    def __post_init__(self) -> None:
        if min(self.n_chains, self.n_draws) < 1 or self.n_warmup < 0:
            raise InputError(
                f"NUTS needs at least one chain and one draw, and no negative warm-up; got {self.n_chains} chains, "
                f"{self.n_warmup} warm-up steps and {self.n_draws} draws."
            )


PAPER_SETTINGS = NutsSettings(
    n_chains=1, n_warmup=4000, n_draws=10_000, target_accept=0.8, max_tree_depth_warmup=10, max_tree_depth=10
)


Engine = Literal["fast", "nuts"]


@dataclass(frozen=True)
class InferenceSettings:
    """What a user may choose of an inference run.

    Attributes
    ----------
    ebv_min_mag, ebv_max_mag : ends of the uniform reddening prior. [mag]
    engine : ``fast``, which passes hard stars, and those without G, to NUTS by itself, or ``nuts`` for all.
    nuts : length of the chains.
    fast : how much the fast engine checks, and when it passes stars on.
    ebv_limit_mag : all the dust towards the stars, for the flag of stars that extinction may have brought into the sample;
        None for that of the dust map the table was prepared with, else the end of the prior.
    hand_on : whether stars that the fast engine cannot settle are passed to NUTS. If False, they keep the fast engine's result
        with status ``low_ess``. Stars without G, which it cannot treat, get ``no_bands``.
    outlier_share : prior share of stars outside the model's population (quasars, galaxies, bad matches). 0 takes all stars to
        belong to it.
    density : whether to add the joint density in (E, distance modulus).
    batch_size : stars that NUTS samples side by side; results do not depend on it, except by rounding.
    fast_batch_size : the same for the fast engine.
    seed : added to each star's own seed, which comes from its source_id.
    """

    ebv_min_mag: float = EBV_MIN_MAG
    ebv_max_mag: float = EBV_MAX_MAG
    engine: Engine | str = "fast"
    nuts: NutsSettings = NutsSettings()
    fast: FastSettings = FastSettings()
    ebv_limit_mag: float | None = None
    hand_on: bool = True
    outlier_share: float = OUTLIER_SHARE
    density: bool = False
    # As fast per star as 16 on a CPU core, and a few passed-on stars are not padded to many.
    batch_size: int = field(default_factory=lambda: 4 if compute_platform() == "cpu" else 256)
    fast_batch_size: int = field(default_factory=lambda: 128 if compute_platform() == "cpu" else 4096)
    seed: int = 0

    def __post_init__(self) -> None:
        if not -0.5 <= self.ebv_min_mag < self.ebv_max_mag <= 5.0:
            raise InputError(
                "The reddening prior needs -0.5 <= ebv_min < ebv_max <= 5 mag; got "
                f"ebv_min = {self.ebv_min_mag}, ebv_max = {self.ebv_max_mag}."
            )
        if self.ebv_limit_mag is not None and not 0.0 <= self.ebv_limit_mag < np.inf:
            raise InputError(f"ebv_limit must be finite and not negative; got {self.ebv_limit_mag} mag.")
        if not 0.0 <= self.outlier_share < 0.5:
            raise InputError(
                f"outlier_share must be at least 0 and below 0.5, a share of the stars; got {self.outlier_share}."
            )
        check_seed(self.seed)
        if min(self.batch_size, self.fast_batch_size) < 1:
            raise InputError(
                f"batch sizes must be at least 1; got {self.batch_size} and {self.fast_batch_size}."
            )
        if self.engine not in ("fast", "nuts"):
            raise InputError(f"engine must be 'fast' or 'nuts'; got {self.engine!r}.")
