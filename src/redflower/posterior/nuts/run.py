"""The reference engine on any number of stars: two tries for each, and what they found stored."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from redflower.posterior.batches import batches
from redflower.posterior.nuts.sampler import FIRST_TRY_PILOTS, SECOND_TRY_PILOTS, ChainDraws, sample_stars
from redflower.posterior.nuts.summaries import chains_failed, diagnostics, log_evidences, summarise_chains
from redflower.posterior.results import Request, Results
from redflower.posterior.status import NUTS
from redflower.random_streams import Stream


class Chains(NamedTuple):
    """The chains of one batch.

    Attributes
    ----------
    batch, padded : the rows of its stars, and the same padded to the size of a batch.
    draws : of the padded batch.
    diagnosed : what `diagnostics` says of them.
    again : whether the chains of a star of the batch failed, and a second try is to come.
    """

    batch: Int[np.ndarray, " row"]
    padded: Int[np.ndarray, " padded"]
    draws: ChainDraws
    diagnosed: dict[str, np.ndarray]
    again: Bool[np.ndarray, " row"]


def two_tries(request: Request, rows: np.ndarray) -> Iterator[Chains]:
    """Sample some rows batch by batch; then once more, with more pilots, those whose chains failed.

    The second try of a star replaces its first.
    """
    for n_pilots in (FIRST_TRY_PILOTS, SECOND_TRY_PILOTS):
        failed = [rows[:0]]
        for batch, padded in batches(rows, request.settings.batch_size):
            draws = sample_stars(
                request.target,
                request.part(padded),
                request.keys(padded, Stream.CHAINS),
                request.settings.nuts,
                n_pilots,
            )
            diagnosed = diagnostics(draws)
            bad = chains_failed(diagnosed, draws.diverging[0].size)[: len(batch)]
            failed.append(batch[bad])
            yield Chains(
                batch=batch,
                padded=padded,
                draws=draws,
                diagnosed=diagnosed,
                again=bad & (n_pilots == FIRST_TRY_PILOTS),
            )
        rows = np.concatenate(failed)


def chains(request: Request, rows: np.ndarray, results: Results) -> None:
    """Run the reference engine on some rows, and store each of their results."""
    for tried in two_tries(request, rows):
        batch, padded, draws = tried.batch, tried.padded, tried.draws
        part = request.part(padded)
        values = summarise_chains(
            request.model, request.target, part, draws, request.ebv_limit_mag[padded], tried.diagnosed
        )
        evidence_keys = request.keys(padded, Stream.EVIDENCE_OF_CHAINS)
        values["log_evidence"] = log_evidences(request.target, part, draws, evidence_keys)
        results.store(batch, {name: v[: len(batch)] for name, v in values.items()}, NUTS)
        ebv_mag, modulus_mag = (
            np.asarray(a).reshape(len(padded), -1)[: len(batch)]
            for a in (draws.ebv_mag, draws.distance_modulus_mag)
        )
        results.store_density_of_draws(batch, ebv_mag, modulus_mag, np.zeros_like(ebv_mag))
        results.done(NUTS, len(batch), len(batch) - int(tried.again.sum()))
