"""One epoch: the steps over all batches, up to the first that is not finite or to the end of the time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from redflower.flow.conditional import ConditionalFlow
from redflower.train.batches import Batches
from redflower.train.loss.training_star import TrainingStar

StepProgress = Callable[[int, int], None]


class BadStep(NamedTuple):
    """A step whose loss or gradient was not finite: its number, and the flow that it was given."""

    number: int
    flow: ConditionalFlow


class EpochLoss(NamedTuple):
    """What the loss of one epoch is made with.

    Attributes
    ----------
    stream : of random numbers.
    strength : lambda of the contrastive term.
    outlier_share : of stars that are not of the population.
    """

    stream: int
    strength: float
    outlier_share: float


class EpochOutcome(NamedTuple):
    """What an epoch led to.

    Attributes
    ----------
    flow, opt_state : after its last good step.
    log_evidence, log_contrast : means of ln L_s and ln C_s over its steps; 0 after a bad step.
    n_steps : steps that were made; fewer than there are batches where the time ran out.
    bad_step : the step that stopped it, if one did.
    """

    flow: ConditionalFlow
    opt_state: Any
    log_evidence: float
    log_contrast: float
    n_steps: int
    bad_step: BadStep | None


def run_epoch(
    step: Callable,
    flow: ConditionalFlow,
    opt_state: Any,
    data: TrainingStar,
    batches: Batches,
    loss: EpochLoss,
    *,
    rate: Callable[[int], float],
    out_of_time: Callable[[], bool],
    progress: StepProgress | None,
) -> EpochOutcome:
    """Run the steps of one epoch.

    Parameters
    ----------
    step : from `redflower.train.loss.objective.make_step`.
    loss : its random numbers, its contrastive term and its outliers.
    rate : learning rate of every step.
    out_of_time : whether to stop after a step.
    progress : called after every step with the steps done and the steps of the epoch.
    """
    outcomes: list[tuple] = []
    flows = [flow, flow]
    bad_step = None
    for i in range(batches.n_steps):
        groups = batches.gathered(data, i)
        flows = [flows[1], flow]
        flow, opt_state, *outcome = step(
            flow,
            opt_state,
            jnp.float32(rate(i)),
            jnp.float32(loss.strength),
            jnp.float32(loss.outlier_share),
            jnp.uint32(loss.stream),
            groups,
        )
        outcomes.append(tuple(outcome))
        # Looked at a step late, so that a batch is gathered while the one before it is worked on. A step that was
        # not finite has changed nothing.
        if i and not bool(outcomes[-2][2]):
            bad_step = BadStep(i - 1, flows[0])
            break
        if progress is not None:
            progress(i + 1, batches.n_steps)
        if out_of_time():
            break
    if bad_step is None and not bool(outcomes[-1][2]):
        bad_step = BadStep(len(outcomes) - 1, flows[1])
    evidence, contrast = (
        (0.0, 0.0) if bad_step else (float(np.mean([float(o[k]) for o in outcomes])) for k in (0, 1))
    )
    return EpochOutcome(
        flow=flow,
        opt_state=opt_state,
        log_evidence=evidence,
        log_contrast=contrast,
        n_steps=len(outcomes),
        bad_step=bad_step,
    )
