"""What do fitted sightlines gain by sharing the distances of their clouds, and is what they then say calibrated?

    python -m benchmarks.clouds.sightline_neighbours [--count 30] [--workers 1] [--out FILE] [--summary]

Regions of eight sightlines of 100 to 300 stars, of three kinds in turn: drawn from the model of the combination itself; two
sheets of dust that all sightlines cross, and in every other one a cloud of its own; clouds that share nothing. Every sightline
is fitted by itself, and the fits of a region are combined. Sightlines with more than 0.35 mag are not simulated, and are taken
out of the fits' priors, as in `sightline_ranks`. Every region is one line of JSON in the output file.
"""

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from benchmarks.clouds.sightline_calibration import (  # noqa: E402
    EBV_RANGE_MAG,
    MAX_CLOUDS,
    PRIOR,
    TOTAL_MAX_MAG,
    cases,
)
from benchmarks.clouds.sightline_ranks import without_much_dust  # noqa: E402
from benchmarks.numbered_runs import numbered_benchmark  # noqa: E402
from benchmarks.results import say, table  # noqa: E402

from redflower.distances import distance_from_modulus  # noqa: E402
from redflower.sightline import SightlineFit, fit_sightline  # noqa: E402
from redflower.sightline import weighted_clouds as weighted  # noqa: E402
from redflower.sightline.fit_draws import SightlineDraws, gather_draws  # noqa: E402
from redflower.sightline.neighbours import share_distances  # noqa: E402
from redflower.sightline.result import thinned  # noqa: E402
from redflower.sightline.shared_density import Kernels, SharingSettings, make_kernels  # noqa: E402
from redflower.validate.mock_densities import SightlineStars  # noqa: E402
from redflower.validate.mock_sightlines import mock_sightline  # noqa: E402
from redflower.validate.ranks import uniformity  # noqa: E402

SEED = 30
N_SIGHTLINES = 8
STARS = (100.0, 300.0)
#: As `redflower sightline` saves them.
N_DRAWS = 2000
MODEL, SHEETS, NOTHING = KINDS = ("the model itself", "two sheets", "nothing shared")
#: Of a sheet: how much its ln distance and its ln E(B-V) change from sightline to sightline, and its E(B-V). [-, -, mag]
SHEET_DEPTH, SHEET_CONTRAST, SHEET_EBV_MAG = 0.04, 0.4, (0.03, 0.1)
#: Weaker clouds are hardly seen: errors are of the others too. [mag]
SEEN_MAG = 0.02
LOG_RANGE = np.log(PRIOR.distance_pc)


def clouds_of(kind: str, rng: np.random.Generator) -> tuple[list[tuple[list, dict]], float | None]:
    """Draw the clouds of a region, each with keywords of `mock_sightline`, and the share that is not shared."""
    own_share, found = None, []
    if kind == MODEL:
        settings = SharingSettings()
        kernels = make_kernels(PRIOR.distance_pc, settings)
        shares = rng.dirichlet(np.concatenate([[settings.own_count], kernels.count]))
        own_share = float(shares[0])
    sheets = [(rng.uniform(*LOG_RANGE), np.exp(rng.uniform(*np.log(SHEET_EBV_MAG)))) for _ in range(2)]
    while len(found) < N_SIGHTLINES:
        k = len(found)
        number = 2 + k % 2 if kind == SHEETS else int(rng.integers(MAX_CLOUDS + 1))
        _, _, clouds, keywords = next(cases("prior", PRIOR, 1, rng, only_clouds=number))
        ebv = np.array([e for _, e in clouds])
        place = rng.uniform(*LOG_RANGE, number)
        if kind == MODEL:
            place = places_of_model(number, shares, kernels, rng)
        if kind == SHEETS:
            middle, strength = np.array(sheets).T
            place[:2] = np.clip(middle + SHEET_DEPTH * rng.standard_normal(2), *LOG_RANGE)
            ebv[:2] = strength * np.exp(SHEET_CONTRAST * rng.standard_normal(2))
        if ebv.sum() < TOTAL_MAX_MAG:
            found.append((list(zip(np.exp(place).tolist(), ebv.tolist(), strict=True)), keywords))
    return found, own_share


def places_of_model(
    number: int, shares: np.ndarray, kernels: Kernels, rng: np.random.Generator
) -> np.ndarray:
    """Draw ln distances of a sightline's clouds from the model: those whose shared clouds are too near are drawn again."""
    step, n_bins = kernels.edges[1] - kernels.edges[0], len(kernels.edges) - 1
    chance = np.concatenate([shares[1:] @ kernels.density * step, shares[:1]])
    while True:
        # Many at once: where one sheet has nearly all clouds, most are too near.
        bins = np.sort(rng.choice(n_bins + 1, (1000, number), p=chance / chance.sum()), axis=1)
        near = (np.diff(bins, axis=1) < kernels.gap) & (bins[:, 1:] < n_bins)
        fine = np.flatnonzero(~near.any(axis=1))
        if len(fine):
            place = kernels.edges[0] + step * (bins[fine[0]] + rng.random(number))
            return np.where(bins[fine[0]] < n_bins, place, rng.uniform(*LOG_RANGE, number))


def draws_of(fit: SightlineFit) -> SightlineDraws:
    """Return a fit's draws, as many as are saved."""
    probability = np.zeros(MAX_CLOUDS + 1)
    places, heights = ([np.zeros((0, n)) for n in range(MAX_CLOUDS + 1)] for _ in range(2))
    for model in fit.models:
        probability[model.n_clouds] = model.probability
        few = thinned(model.draws, N_DRAWS)
        places[model.n_clouds] = distance_from_modulus(few.modulus_mag)
        heights[model.n_clouds] = few.ebv_mag
    return gather_draws(probability.tolist(), places, heights, fit.prior.distance_pc)


def one(k: int) -> dict:
    """Draw, simulate and fit region k, and combine its sightlines."""
    rng = np.random.default_rng([SEED, k])
    kind = KINDS[k % len(KINDS)]
    truths, own_share = clouds_of(kind, rng)
    began, draws = time.process_time(), []
    for clouds, keywords in truths:
        n_stars = int(np.exp(rng.uniform(*np.log(STARS))))
        mock = mock_sightline(n_stars, clouds, rng, stars=SightlineStars(), **keywords)
        fit = fit_sightline(
            mock.density, EBV_RANGE_MAG, rng, max_clouds=MAX_CLOUDS, prior=PRIOR, monotone=False
        )
        draws.append(draws_of(without_much_dust(fit)))
    fitted = time.process_time()
    shared = share_distances(draws, rng)
    record = {
        "k": k,
        "kind": kind,
        "seconds_of_fits": fitted - began,
        "seconds": time.process_time() - fitted,
        "shared_share": float(1.0 - shared.own_share.mean()),
        "own_share_rank": None if own_share is None else float(np.mean(shared.own_share < own_share)),
        "chains_differ": shared.chains_differ,
        "sightlines": [],
    }
    for found, weight, (clouds, _) in zip(draws, shared.weight, truths, strict=True):
        record["sightlines"].append(
            {
                "number": len(clouds),
                "ebv": [e for _, e in sorted(clouds)],
                "effective": float(weighted.effective_draws(found, weight)[len(clouds)]),
                "trusted": weighted.is_trusted(found, weight),
                "alone": judged(found, found.weight, clouds),
                "with neighbours": judged(found, weight, clouds),
            }
        )
    return record


def judged(draws: SightlineDraws, weight: np.ndarray, clouds: list[tuple[float, float]]) -> dict:
    """Judge draws by the truth: odds; under the true number of clouds, ranks, errors and stated deviations of ln distance."""
    here = draws.n_clouds == len(clouds)
    share = weight[here] / weight[here].sum()
    found: dict[str, list] = {"probability": weighted.number_probabilities(draws, weight).tolist()}
    found |= {"rank": [], "ebv_rank": [], "off": [], "std": []}
    for c, (distance_pc, ebv_mag) in enumerate(sorted(clouds)):
        place, ebv = draws.log_distance[here, c], draws.ebv_mag[here, c]
        found["rank"].append(float(share @ (place < np.log(distance_pc))))
        found["ebv_rank"].append(float(share @ (ebv < ebv_mag)))
        mean = float(share @ place)
        found["off"].append(mean - float(np.log(distance_pc)))
        found["std"].append(float(np.sqrt(share @ (place - mean) ** 2)))
    return found


WHEN = ("alone", "with neighbours")


def summary(records: list[dict]) -> None:
    """Say what the regions found."""
    seconds = [np.median([r[name] for r in records]) for name in ("seconds_of_fits", "seconds")]
    say(
        f"{len(records)} regions of {N_SIGHTLINES} sightlines with {STARS[0]:.0f} to {STARS[1]:.0f} stars, and 0 to "
        f"{MAX_CLOUDS} clouds between {PRIOR.distance_pc[0]:.0f} and {PRIOR.distance_pc[1]:,.0f} pc. The fits of a region took "
        f"{seconds[0]:.0f} s of a core, their combination {seconds[1]:.1f} s (medians). Sheets change their ln distance by "
        f"{SHEET_DEPTH} and their E(B-V) by a factor of {np.exp(SHEET_CONTRAST):.1f} from sightline to sightline (one sigma)."
    )
    _distances(records)
    _ranks(records)
    _odds(records)
    _told(records)


def _lines(records: list[dict], kind: str) -> list[dict]:
    return [line for r in records if r["kind"] == kind for line in r["sightlines"]]


def _distances(records: list[dict]) -> None:
    say(
        "Distances under the true number of clouds: root mean square and median size of the error in ln distance, the stated "
        "deviation (root mean square), and the share of the clouds that are within the central ranges of 68 and 95 %. Below, the "
        f"same of clouds of at least {SEEN_MAG} mag."
    )
    rows = table(
        {"clouds": "", "fit": "", "number": ",", "error": ".3f", "median": ".3f", "stated": ".3f",
         "inside 68 %": ".3f", "inside 95 %": ".3f"}
    )  # fmt: skip
    for least in (0.0, SEEN_MAG):
        for kind in KINDS:
            lines = _lines(records, kind)
            seen = np.concatenate([np.array(line["ebv"]) for line in lines]) >= least
            for when in WHEN:
                off, std, rank = (
                    np.concatenate([line[when][n] for line in lines])[seen] for n in ("off", "std", "rank")
                )
                inside = [float(np.mean(np.abs(rank - 0.5) < share / 2)) for share in (0.68, 0.95)]
                name = f"{kind}, at least {least} mag" if least else kind
                rms, stated = (float(np.sqrt(np.mean(x**2))) for x in (off, std))
                rows.row(name, when, int(seen.sum()), rms, float(np.median(np.abs(off))), stated, *inside)


def _ranks(records: list[dict]) -> None:
    say(
        "Ranks of the truth. The band holds the whole distribution function of uniform ranks with 95 %, were they independent; "
        "those of one region are not quite."
    )
    rows = table(
        {"clouds": "", "rank of": "", "fit": "", "number": ",", "largest deviation": ".3f", "band": ".3f", "inside": ""}
    )  # fmt: skip
    for kind in KINDS:
        for name, what in (("rank", "distance"), ("ebv_rank", "E(B-V)")):
            for when in WHEN:
                rank = np.concatenate([line[when][name] for line in _lines(records, kind)])
                found = uniformity(rank)
                rows.row(
                    kind, what, when, len(rank), found["deviation"], found["band"], "yes" if found["inside"] else "no"
                )  # fmt: skip
    own = np.array([r["own_share_rank"] for r in records if r["own_share_rank"] is not None])
    found = uniformity(own)
    rows.row(
        MODEL, "share of clouds that share nothing", WHEN[1], len(own), found["deviation"], found["band"],
        "yes" if found["inside"] else "no",
    )  # fmt: skip


def _odds(records: list[dict]) -> None:
    say(
        "Numbers of clouds: the probability of the true number (geometric mean), how often the most probable number is right, "
        "and how often that is stated, with its standard error. Two sheets are in all sightlines, which no fit knows beforehand; "
        "of the other kinds all numbers are equally frequent, as the fits believe."
    )
    rows = table(
        {"clouds": "", "fit": "", "sightlines": ",", "probability of the truth": ".3f", "right": ".3f", "stated": ".3f",
         "standard error": ".3f", "too large": ".3f"}
    )  # fmt: skip
    for kind in KINDS:
        lines = _lines(records, kind)
        number = np.array([line["number"] for line in lines])
        for when in WHEN:
            probability = np.array([line[when]["probability"] for line in lines])
            of_truth = np.maximum(probability[np.arange(len(number)), number], 1e-6)
            best, most = probability.argmax(axis=1), probability.max(axis=1)
            error = float(np.sqrt(np.sum(most * (1.0 - most))) / len(most))
            rows.row(
                kind, when, len(lines), float(np.exp(np.mean(np.log(of_truth)))), float(np.mean(best == number)),
                float(most.mean()), error, float(np.mean(best > number)),
            )  # fmt: skip


def _told(records: list[dict]) -> None:
    say(
        "What the combination says of itself: the share of the clouds that are at shared distances (mean and range over the "
        "regions), how many equally weighted draws of the true number are left (median), the share of the sightlines that it "
        "does not trust, and the largest difference between its chains (median and largest)."
    )
    rows = table(
        {"clouds": "", "regions": ",", "shared": ".2f", "from": ".2f", "to": ".2f", "draws left": ",.0f", "not trusted": ".3f",
         "chains differ by": ".3f", "at most": ".3f"}
    )  # fmt: skip
    for kind in KINDS:
        regions = [r for r in records if r["kind"] == kind]
        shared = [r["shared_share"] for r in regions]
        lines = [line for line in _lines(records, kind) if line["number"]]
        differ = [r["chains_differ"] for r in regions]
        rows.row(
            kind, len(regions), float(np.mean(shared)), min(shared), max(shared),
            float(np.median([line["effective"] for line in lines])),
            float(np.mean([not line["trusted"] for line in _lines(records, kind)])), float(np.median(differ)), max(differ),
        )  # fmt: skip


if __name__ == "__main__":
    numbered_benchmark(
        __doc__, one, summary, record="sightline-neighbours", out="sightline-neighbours.jsonl", seed=SEED, count=30, workers=1,
    )  # fmt: skip
