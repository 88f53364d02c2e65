"""Sightlines that share a density of the distance of their clouds, against closed forms and under their own model."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import kstest, norm

from redflower.errors import InputError
from redflower.sightline.fit_draws import SightlineDraws, gather_draws
from redflower.sightline.neighbours import placed, share_distances, shared_terms, weigh_anew
from redflower.sightline.shared_density import (
    BIN,
    Kernels,
    SharingSettings,
    common_range_pc,
    make_kernels,
    normalisers,
)
from redflower.sightline.weighted_clouds import (
    effective_draws,
    is_trusted,
    number_probabilities,
    probability_errors,
    weighted_clouds,
)

RANGE_PC = (100.0, 3000.0)
LENGTH = float(np.log(RANGE_PC[1] / RANGE_PC[0]))
QUICK = SharingSettings(n_chains=2, n_warmup=40, n_kept=80)


def one_cloud(
    middle: float,
    error: float,
    n_draws: int = 400,
    probability: float = 0.5,
    range_pc: tuple[float, float] = RANGE_PC,
) -> SightlineDraws:
    """A fit of no cloud or one, whose ln distance has a normal likelihood: evenly spaced quantiles of its posterior."""
    near, far = np.log(range_pc)
    low, high = ndtr((near - middle) / error), ndtr((far - middle) / error)
    place = middle + error * ndtri(low + (high - low) * (np.arange(n_draws) + 0.5) / n_draws)
    distance = np.exp(np.clip(place, near, far))[:, None]
    empty = np.zeros((1, 0))
    return gather_draws(
        [1.0 - probability, probability], [empty, distance], [empty, np.full((n_draws, 1), 0.1)], range_pc
    )


def one_kernel(middle: float, width: float) -> tuple[Kernels, np.ndarray]:
    """The kernels of one width, and shares that are all of the one nearest to a place."""
    kernels = make_kernels(RANGE_PC, SharingSettings(widths=(width,)))
    bins = 0.5 * (kernels.edges[1:] + kernels.edges[:-1])
    means = kernels.density @ bins * np.diff(kernels.edges)[0]
    shares = np.zeros(1 + len(kernels.count))
    shares[1 + np.argmin(np.abs(means - middle))] = 1.0
    return kernels, shares


def anew(draws: SightlineDraws, kernels: Kernels, shares: np.ndarray) -> np.ndarray:
    """New weights of draws under given shares, not normalised."""
    own, density = float(shares[0]), shares[1:] @ kernels.density
    line = placed(draws, kernels)
    terms = shared_terms(line, own, density, kernels.gap)
    return weigh_anew(line, terms, own, normalisers(own, density, kernels, int(draws.n_clouds.max())))


def moments(draws: SightlineDraws, weight: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the ln distance of the one cloud."""
    here = draws.n_clouds == 1
    share, place = weight[here] / weight[here].sum(), draws.log_distance[here, 0]
    mean = share @ place
    return float(mean), float(np.sqrt(share @ (place - mean) ** 2))


@pytest.mark.equation("ES19")
@pytest.mark.parametrize("searched_pc", [(200.0, 420.0), (150.0, 420.0)])
def test_the_shared_prior_of_any_number_of_clouds_has_an_integral_of_one(searched_pc) -> None:
    """Summed over all places of one, two and three clouds: all bins, and as many outside the common range as weigh the same."""
    settings = SharingSettings(widths=(0.1,), apart=0.2)
    kernels = make_kernels((200.0, 420.0), settings)
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.full(1 + len(kernels.count), 0.3))
    step = kernels.edges[1] - kernels.edges[0]
    middles = 0.5 * (kernels.edges[1:] + kernels.edges[:-1])
    nearer = np.log(200.0) - step * (np.arange(np.log(200.0 / searched_pc[0]) / step) + 0.5)
    every = np.exp(np.concatenate([nearer, middles]))
    # The nearest bin but for a part, where the range ends within it.
    length = np.log(searched_pc[1] / searched_pc[0])
    width = np.full(len(every), step)
    width[: len(nearer)] = np.log(200.0 / searched_pc[0]) / max(len(nearer), 1)
    for number in (1, 2, 3):
        places = np.stack(np.meshgrid(*[every] * number, indexing="ij"), axis=-1).reshape(-1, number)
        prior = (
            np.prod(np.stack(np.meshgrid(*[width] * number, indexing="ij")), axis=0).ravel() / length**number
        )
        before = [0.0] * number + [1.0]
        empty = [np.ones((0, n)) for n in range(number)]
        draws = gather_draws(before, [*empty, places], [*empty, places], searched_pc)
        weight = anew(replace(draws, weight=np.concatenate([[0.0], prior])), kernels, shares)
        assert weight.sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.equation("ES18")
def test_every_kernel_has_an_integral_of_one_and_all_pseudo_counts_add_up() -> None:
    settings = SharingSettings(widths=(0.05, 0.1, 0.3), shared_count=2.5)
    kernels = make_kernels(RANGE_PC, settings)
    np.testing.assert_allclose(kernels.density @ np.diff(kernels.edges), 1.0, rtol=1e-12)
    assert kernels.count.sum() == pytest.approx(2.5)
    assert np.diff(kernels.edges).max() <= BIN


@pytest.mark.equation("ES19")
def test_a_normal_posterior_and_one_kernel_multiply_as_normal_distributions_do() -> None:
    """Mean, deviation and evidence in closed form. Draws are quantiles, so that bins of 0.01 are what is left of errors."""
    error, width, m = 0.2, 0.1, float(np.log(600.0))
    draws = one_cloud(m + 0.15, error, n_draws=20_000)
    kernels, shares = one_kernel(m, width)
    middle = float(
        shares[1:]
        @ kernels.density
        @ (kernels.edges[1:] + kernels.edges[:-1])
        / 2
        * np.diff(kernels.edges)[0]
    )
    weight = anew(draws, kernels, shares)
    precision = error**-2 + width**-2
    mean, std = moments(draws, weight)
    # A bin is a tenth of the kernel; half of one is the most that a draw is misplaced by.
    assert mean == pytest.approx(((m + 0.15) / error**2 + middle / width**2) / precision, abs=0.05 * BIN)
    assert std == pytest.approx(precision**-0.5, rel=0.005)
    none, one = number_probabilities(draws, weight)
    assert none == 0.5
    expected = LENGTH * norm.pdf(m + 0.15, middle, np.hypot(error, width))
    assert one / none == pytest.approx(expected, rel=0.003)


@pytest.mark.equation("ES19")
def test_ratios_of_clouds_are_multiplied_and_those_too_near_each_other_do_not_both_share() -> None:
    rng = np.random.default_rng(3)
    kernels = make_kernels(RANGE_PC, SharingSettings(apart=0.3))
    shares = rng.dirichlet(np.ones(1 + len(kernels.count)))
    own, density = shares[0], LENGTH * shares[1:] @ kernels.density
    distance = np.exp(rng.uniform(*np.log(RANGE_PC), (200, 2)))
    empty = np.zeros((1, 0))
    draws = gather_draws(
        [0.2, 0.0, 0.8], [empty, distance[:, :1], distance], [empty, distance[:, :1], distance], RANGE_PC
    )
    weight = anew(draws, kernels, shares)
    bins = np.searchsorted(kernels.edges, np.log(distance), side="right") - 1
    one, other = density[bins].T
    apart = np.abs(np.diff(bins, axis=1)[:, 0]) >= kernels.gap
    assert 0.1 < apart.mean() < 0.95
    both = own**2 + own * (one + other) + np.where(apart, one * other, 0.0)
    found = weight[draws.n_clouds == 2]
    np.testing.assert_allclose(found / found[0], both / both[0], rtol=1e-9)
    # Far apart, that is the product of both ratios, as if the clouds knew nothing of each other.
    np.testing.assert_allclose(both[apart], ((own + one) * (own + other))[apart], rtol=1e-9)
    assert weight[draws.n_clouds == 0] == pytest.approx([0.2])


def test_without_shared_clouds_every_draw_keeps_its_weight() -> None:
    draws = one_cloud(6.0, 0.3)
    kernels = make_kernels(RANGE_PC, SharingSettings())
    nothing_shared = np.zeros(1 + len(kernels.count))
    nothing_shared[0] = 1.0
    np.testing.assert_array_equal(anew(draws, kernels, nothing_shared), draws.weight)
    # And where beforehand next to nothing can be shared, sampling changes next to nothing.
    settings = replace(QUICK, shared_count=1e-6)
    shared = share_distances([draws, one_cloud(6.05, 0.3)], np.random.default_rng(1), settings)
    np.testing.assert_allclose(shared.weight[0], draws.weight, rtol=1e-3)
    assert shared.own_share.min() > 0.999


def test_sightlines_with_clouds_at_different_distances_stay_as_they_were() -> None:
    """Their one neighbour's kernel is many errors away: medians move by less than a tenth of an error, odds by less than 0.1."""
    middles = np.log([150.0, 400.0, 1000.0, 2500.0])
    draws = [one_cloud(middle, 0.08, probability=0.9) for middle in middles]
    shared = share_distances(draws, np.random.default_rng(2), SharingSettings())
    for one, weight, middle in zip(draws, shared.weight, middles, strict=True):
        assert moments(one, weight)[0] == pytest.approx(middle, abs=0.1 * 0.08)
        assert number_probabilities(one, weight)[1] == pytest.approx(0.9, abs=0.1)


def test_clouds_at_one_distance_draw_each_other_nearer_and_more_likely() -> None:
    rng = np.random.default_rng(4)
    truth, error = np.log(500.0), 0.25
    draws = [one_cloud(truth + error * x, error) for x in rng.standard_normal(10)]
    shared = share_distances(draws, np.random.default_rng(5), SharingSettings())
    before = np.array([moments(one, one.weight) for one in draws])
    after = np.array([moments(one, weight) for one, weight in zip(draws, shared.weight, strict=True)])
    assert np.mean((after[:, 0] - truth) ** 2) < 0.5 * np.mean((before[:, 0] - truth) ** 2)
    assert np.mean(after[:, 1]) < 0.8 * np.mean(before[:, 1])
    probability = [
        number_probabilities(one, weight)[1] for one, weight in zip(draws, shared.weight, strict=True)
    ]
    assert np.all(np.array(probability) > 0.5)
    assert shared.own_share.mean() < 0.3
    assert shared.chains_differ < 0.05


def test_the_order_of_sightlines_and_of_draws_matters_no_more_than_the_seed_and_a_seed_gives_one_result() -> (
    None
):
    rng = np.random.default_rng(6)
    draws = [one_cloud(6.0 + 0.2 * x, 0.2) for x in rng.standard_normal(5)]
    mixed = []
    for one in draws[::-1]:
        # Draws of one number of clouds among themselves: numbers rise.
        order = np.lexsort((rng.random(len(one.weight)), one.n_clouds))
        mixed.append(
            replace(
                one,
                log_distance=one.log_distance[order],
                ebv_mag=one.ebv_mag[order],
                weight=one.weight[order],
            )
        )
    found = [
        share_distances(lines, np.random.default_rng(7), SharingSettings(n_kept=300))
        for lines in (draws, draws, mixed)
    ]
    for first, again in zip(found[0].weight, found[1].weight, strict=True):
        np.testing.assert_array_equal(first, again)
    for one, weight, other, other_weight in zip(
        draws, found[0].weight, mixed[::-1], found[2].weight[::-1], strict=True
    ):
        # Five times what chains of this length differ by.
        assert moments(one, weight) == pytest.approx(moments(other, other_weight), abs=0.02)
        assert number_probabilities(one, weight) == pytest.approx(
            number_probabilities(other, other_weight), abs=0.05
        )


def drawn_places(number: int, shares: np.ndarray, kernels: Kernels, rng: np.random.Generator) -> np.ndarray:
    """Draw ln distances from the shared prior of a number of clouds: those whose shared clouds are too near are drawn again."""
    step, n_bins = kernels.edges[1] - kernels.edges[0], len(kernels.edges) - 1
    density = shares[1:] @ kernels.density * step
    chance = np.concatenate([density, [shares[0]]])
    while True:
        bins = rng.choice(n_bins + 1, number, p=chance / chance.sum())
        shared = np.sort(bins[bins < n_bins])
        if (np.diff(shared) >= kernels.gap).all():
            return np.where(
                bins < n_bins,
                kernels.edges[0] + step * (bins + rng.random(number)),
                rng.uniform(*np.log(RANGE_PC), number),
            )


def two_measured(
    seen: np.ndarray, error: np.ndarray, rng: np.random.Generator, n_draws: int = 200
) -> SightlineDraws:
    """A fit of none to two clouds, equally likely, whose first and second have each a normal likelihood of ln distance."""
    parts = [np.exp(one_cloud(x, e, n_draws).log_distance[1:]) for x, e in zip(seen, error, strict=True)]
    two = np.concatenate([rng.permutation(part) for part in parts], axis=1)
    places = [np.zeros((1, 0)), parts[0], two]
    return gather_draws([1 / 3] * 3, places, places, RANGE_PC)


@pytest.mark.equation("ES18")
@pytest.mark.equation("ES19")
@pytest.mark.parametrize("n_regions", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_ranks_and_odds_are_calibrated_under_the_model_itself(n_regions) -> None:
    """Regions drawn from the prior: shares, numbers of clouds, distances.

    One rank and one sightline's odds are taken of each region, for those of one region are alike.

    Each of the four checks calls one right program in a thousand wrong. What is measured of a cloud that is not there is of a
    cloud anywhere, so that a sightline alone says nothing of its number: what odds say after is by the neighbours alone.
    """
    rng = np.random.default_rng(8)
    kernels = make_kernels(RANGE_PC, QUICK)
    ranks, own_ranks, stated, true = [], [], [], []
    for _ in range(n_regions):
        shares = rng.dirichlet(np.concatenate([[QUICK.own_count], kernels.count]))
        draws, truths = [], []
        for number in rng.integers(3, size=8):
            place = rng.uniform(*np.log(RANGE_PC), 2)
            truths.append(drawn_places(number, shares, kernels, rng))
            place[:number] = truths[-1]
            error = np.exp(rng.uniform(np.log(0.03), np.log(0.2), 2))
            draws.append(two_measured(place + error * rng.standard_normal(2), error, rng))
        shared = share_distances(draws, rng, QUICK)
        own_ranks.append(np.mean(shared.own_share < shares[0]))
        k = rng.integers(len(draws))
        stated += list(number_probabilities(draws[k], shared.weight[k]))
        true += [len(truths[k]) == number for number in range(3)]
        with_cloud = [k for k, truth in enumerate(truths) if len(truth)]
        if with_cloud:
            k = rng.choice(with_cloud)
            here = draws[k].n_clouds == len(truths[k])
            weight = shared.weight[k][here] / shared.weight[k][here].sum()
            cloud = rng.integers(len(truths[k]))
            ranks.append(weight @ (draws[k].log_distance[here, cloud] < np.sort(truths[k])[cloud]))
    assert kstest(ranks, "uniform").pvalue > 1e-3
    assert kstest(own_ranks, "uniform").pvalue > 1e-3
    stated_, true_ = np.array(stated), np.array(true)
    # The neighbours say something: were they silent, all would be 1/3.
    assert stated_.std() > 0.05
    for high in (False, True):
        rows = (stated_ > 1 / 3) == high
        error = np.sqrt(np.sum(stated_[rows] * (1.0 - stated_[rows])))
        assert abs(np.sum(true_[rows] - stated_[rows])) < norm.isf(1e-3 / 2) * error


def test_draws_that_are_left_are_counted_and_errors_of_odds_follow_from_them() -> None:
    """Against the scatter of the probability over repeated sets of draws."""
    rng = np.random.default_rng(9)
    kernels, shares = one_kernel(6.3, 0.1)
    shares = 0.5 * shares
    shares[0] = 0.5
    found, errors = [], []
    for _ in range(400):
        place = 6.0 + 0.3 * rng.standard_normal((300, 1))
        empty = np.zeros((1, 0))
        draws = gather_draws([0.5, 0.5], [empty, np.exp(place)], [empty, place], RANGE_PC)
        weight = anew(draws, kernels, shares)
        weight /= weight.sum()
        found.append(number_probabilities(draws, weight)[1])
        errors.append(probability_errors(draws, weight)[1])
    # The scatter of 400 is known to 3.5 %, and the error, of 300 draws, is to first order.
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.15)
    even = one_cloud(6.0, 0.3, n_draws=300)
    assert effective_draws(even, even.weight) == pytest.approx([1.0, 300.0])
    assert probability_errors(even, even.weight) == pytest.approx([0.0, 0.0], abs=1e-9)
    assert is_trusted(even, even.weight)
    # Ten draws of 300 are left: too few for quantiles, and the odds of one cloud are uncertain.
    few = even.weight * np.where(np.arange(301) < 11, np.where(np.arange(301) > 0, 30.0, 1.0), 0.0)
    assert effective_draws(even, few)[1] == pytest.approx(10.0)
    assert not is_trusted(even, few / few.sum())


def test_clouds_are_summarised_by_their_order_in_distance() -> None:
    distance = np.array([[900.0, 300.0], [310.0, 1000.0], [290.0, 1100.0]])
    height = np.array([[0.09, 0.03], [0.031, 0.1], [0.029, 0.11]])
    empty = [np.zeros((1, 0)), np.full((1, 1), 500.0)]
    draws = gather_draws([0.0, 0.0, 1.0], [*empty, distance], [*empty, height], RANGE_PC)
    weight = np.array([0.0, 0.0, 0.5, 0.25, 0.25])
    near, far = weighted_clouds(draws, weight, 2)
    assert near["distance_pc"] == pytest.approx(300.0)
    assert far["distance_pc"] == pytest.approx(975.0)
    assert near["ebv_mag"] == pytest.approx(0.03)
    assert far["ebv_mag_q50"] == pytest.approx(0.09)
    assert far["distance_pc_q95"] == pytest.approx(1100.0)


def test_fits_that_searched_elsewhere_are_refused_and_a_common_range_is_the_inner_one() -> None:
    assert common_range_pc([(100.0, 2000.0), (150.0, 3000.0)]) == (150.0, 2000.0)
    with pytest.raises(
        InputError,
        match="at common distances, out to at least 2 times the nearest; they looked at 100 to 300, 200",
    ):
        common_range_pc([(100.0, 300.0), (200.0, 3000.0)])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"widths": ()}, "widths of 0.02 to 1"),
        ({"widths": (0.001,)}, "widths of 0.02 to 1"),
        ({"spacing": 0.0}, "a spacing of 0.1 to 1"),
        ({"apart": 2.0}, "clouds 0 to 1 apart"),
        ({"own_count": 0.0}, "positive own_count"),
        ({"n_chains": 1}, "at least 2 n_chains"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, message) -> None:
    with pytest.raises(InputError, match=message):
        SharingSettings(**wrong)
