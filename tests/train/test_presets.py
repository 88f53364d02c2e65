"""Stages that scale with the sample, and plans that fit into minutes."""

import time
from pathlib import Path

import numpy as np
import pytest

import redflower
from redflower.api import training, training_plan
from redflower.api.training_plan import RunPlanner, chosen_preset, resolved_config
from redflower.catalogue import QualityLimits
from redflower.errors import InputError
from redflower.train import EmulatorConfig, FlowConfig, StageConfig, TrainConfig, read_config, train_flow
from redflower.train.config import StageConfig as Stage
from redflower.train.loss.objective import learning_rate
from redflower.train.plan import (
    LEAST_EMULATOR_STEPS,
    PLANNED_SHARE,
    EmulatorCosts,
    FlowCosts,
    TrainingPlan,
    plan_training,
    shortened,
)
from redflower.train.presets import PRESETS, preset_config, preset_stages, validation_stars
from redflower.train.steps import Measured, Planned
from tests.train.test_train import CONFIG, LIMITS, sample

SIZES = (1, 500, 3_000, 20_000, 100_000, 1_000_000, 5_000_000)


def n_steps(stage: Stage, n_training: int) -> int:
    return stage.max_epochs * stage.steps_per_epoch(n_training)


def n_training(n_stars: int) -> int:
    return n_stars - validation_stars(n_stars)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_larger_sample_takes_more_steps_but_not_in_proportion(preset: str) -> None:
    steps = [[n_steps(s, n_training(n)) for s in preset_stages(preset, n)] for n in SIZES[1:]]
    for fewer, more in zip(steps, steps[1:], strict=False):
        # An epoch is a whole number of steps: up to a tenth of a stage is lost in rounding.
        assert all(b >= 0.9 * a for a, b in zip(fewer, more, strict=True))
    typical, largest = steps[SIZES.index(100_000) - 1], steps[-1]
    # The fourth root of 50 is 2.66.
    assert all(a <= b <= 3.0 * a for a, b in zip(typical, largest, strict=True))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n_stars", SIZES)
def test_every_stage_fits_its_sample_and_is_judged_often(preset: str, n_stars: int) -> None:
    train = max(1, n_training(n_stars))
    for stage, recipe in zip(preset_stages(preset, n_stars), PRESETS[preset].stages, strict=True):
        per_epoch = stage.steps_per_epoch(train)
        assert stage.max_epochs >= 5
        assert stage.patience == stage.max_epochs
        assert 32 <= stage.batch_size <= recipe.batch_size
        assert per_epoch * min(stage.batch_size, train) <= train
        passes = stage.max_epochs * per_epoch * stage.batch_size / train
        assert passes <= recipe.most_passes + 5 or n_stars == 1


def test_a_small_sample_takes_small_batches_and_a_gpu_large_ones() -> None:
    assert [s.batch_size for s in preset_stages("standard", 3_000)] == [64, 64, 64]
    on_cpu, on_gpu = (preset_stages("standard", 5_000_000, accelerated=a) for a in (False, True))
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert b.batch_size == 8 * a.batch_size
        assert n_steps(b, 4_998_000) < 0.6 * n_steps(a, 4_998_000)


def test_going_on_from_a_flow_leaves_out_what_would_blur_it() -> None:
    assert all(s.magnitudes == "adapted" for s in preset_stages("best", 50_000, going_on=True))
    assert len(preset_stages("best", 50_000, going_on=True)) == 3


def test_the_preset_of_the_paper_is_its_configuration() -> None:
    paper = read_config(Path(__file__).parents[2] / "configs" / "paper.toml")
    assert preset_config("paper", 7_000_000) == paper


def test_what_a_configuration_states_stands_beside_a_preset() -> None:
    stated = TrainConfig.model_validate_json('{"g_faint_mag": 18.0, "seed": 3, "emulator": {"n_steps": 0}}')
    config = resolved_config(stated, "quick", 10_000, going_on=False)
    assert (config.g_faint_mag, config.seed, config.emulator.n_steps) == (18.0, 3, 0)
    assert config.stages == preset_stages("quick", 10_000)
    with_stages = TrainConfig(stages=(StageConfig(n_draws=3),))
    assert chosen_preset(with_stages, None, None) is None
    assert resolved_config(with_stages, None, 10_000, going_on=False) == with_stages


def test_a_bad_request_is_one_message() -> None:
    with pytest.raises(InputError, match="no preset 'fast'.*quick, standard, best, paper"):
        chosen_preset(None, "fast", None)
    for minutes in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="above 0"):
            chosen_preset(None, None, minutes)
    with pytest.raises(InputError, match="exclude each other"):
        chosen_preset(TrainConfig(stages=(StageConfig(),)), "quick", None)
    assert chosen_preset(None, None, None) == "standard"
    assert chosen_preset(None, None, 5.0) == "quick"
    assert chosen_preset(None, "best", 5.0) == "best"


COSTS = FlowCosts(step_s=(0.012, 0.03, 0.2), validation_s=0.9)
EMULATOR_COSTS = EmulatorCosts(draw_s=30.0, step_s=0.05)
STANDARD = preset_config("standard", 100_000)


def plan(max_minutes: float | None, config: TrainConfig = STANDARD, n_stars: int = 100_000) -> TrainingPlan:
    return plan_training(
        config, n_training(n_stars), COSTS, EMULATOR_COSTS, elapsed_s=20.0, other_s=10.0, max_minutes=max_minutes
    )  # fmt: skip


def test_a_plan_without_a_limit_is_what_was_asked_for() -> None:
    free = plan(None)
    assert free.config == STANDARD
    assert not free.shortened
    steps = sum(n_steps(s, 98_000) * t for s, t in zip(STANDARD.stages, COSTS.step_s, strict=True))
    judged = 0.9 * sum(s.max_epochs for s in STANDARD.stages)
    assert free.flow_s == pytest.approx(steps + judged)
    assert free.emulator_s == pytest.approx(30.0 + 0.05 * 12_000)
    assert plan(600.0).config == STANDARD  # nor is it made longer


@pytest.mark.parametrize("n_stars", [3_000, 100_000, 5_000_000])
def test_flow_and_emulator_are_shortened_alike_and_fit(n_stars: int) -> None:
    config = preset_config("standard", n_stars)
    before = None
    for minutes in (3.0, 4.0, 5.0, 7.0, 10.0, 14.0, 20.0):
        made = plan(minutes, config, n_stars)
        assert 20.0 + made.left_s / PLANNED_SHARE <= 60.0 * minutes + 1e-6
        train = n_training(n_stars)
        shares = [
            n_steps(short, train) / n_steps(full, train)
            for short, full in zip(made.config.stages, config.stages, strict=True)
        ]
        shares.append(made.config.emulator.n_steps / config.emulator.n_steps)
        # The least of every part, and whole steps of whole epochs, keep a short plan from the exact share.
        assert max(shares) - min(shares) < 0.05
        if before is not None:
            assert all(b >= 0.97 * a for a, b in zip(before, shares, strict=True))
        before = shares
        for stage in made.config.stages:
            assert stage.patience == stage.max_epochs
            assert learning_rate(stage, 1.0) == pytest.approx(stage.learning_rate * stage.final_rate_fraction)


def test_too_little_time_is_refused_with_how_much_would_do() -> None:
    with pytest.raises(InputError, match=r"one epoch.*at least (\d+\.\d)") as refused:
        plan(1.0)
    enough = float(str(refused.value).split("at least ")[1].split(",")[0])
    assert 1.0 < enough < 3.0
    assert plan(enough).left_s > 0.0


@pytest.mark.slow
def test_a_shortened_run_is_done_to_its_end_and_goes_on_by_its_plan(tmp_path: Path) -> None:
    """Two stages shortened to a half: all of it is run, recorded, and a resumed run needs no plan of its own."""
    stage = CONFIG.stages[0].model_copy(update={"final_rate_fraction": 0.1})
    config = CONFIG.model_copy(update={"stages": (stage, stage.model_copy(update={"max_epochs": 2}))})
    seen: list[Measured] = []

    class Half:
        def check(self) -> None: ...

        def __call__(self, measured: Measured) -> Planned:
            seen.append(measured)
            return Planned(shortened(config, measured.n_training, 0.5), None)

    where = {"n_bands": 3, "checkpoint": tmp_path / "c", **LIMITS}
    result = train_flow(sample(12_000), config, plan=Half(), **where)
    assert len(seen) == 1
    assert all(0.0 < t < 60.0 for t in (*seen[0].costs.step_s, seen[0].costs.validation_s))
    assert result.complete
    assert [(e.stage, e.epoch) for e in result.history] == [(0, 0), (0, 1), (1, 0)]
    assert [s.max_epochs for s in result.config.stages] == [2, 1]
    again = train_flow(sample(12_000), config, plan=Half(), resume=True, **where)
    assert len(seen) == 1
    assert again.config == result.config
    assert again.history == result.history


def test_a_part_of_an_epoch_keeps_the_shape_of_a_step() -> None:
    from redflower.train.steps import epoch_batches

    stage = StageConfig(batch_size=64, epoch_stars=640)
    gaps = np.random.default_rng(0).random(5_000) < 0.03
    shapes = set()
    rows = []
    for epoch in range(4):
        batches = epoch_batches(stage, np.arange(5_000), gaps, np.random.default_rng(epoch))
        assert batches.n_steps == 10
        shapes |= {tuple((has_gaps, len(r)) for has_gaps, r, _ in batches.groups(i)) for i in range(10)}
        rows.append(np.concatenate([batches.rows(i) for i in range(10)]))
    assert len(shapes) == 1
    assert len(np.unique(np.concatenate(rows))) > 2.5 * 640  # other stars in every epoch


@pytest.mark.slow
def test_training_ends_within_its_minutes_with_a_usable_model(monkeypatch) -> None:
    """A configuration that would take hours, in the twelve seconds that are left once it is compiled and timed.

    Where the machine is so busy that the least of an emulator takes that long, more are left.
    """
    planned_at: list[float] = []
    left: list[float] = []

    class FewSecondsLeft(RunPlanner):
        def _time_emulator(self, measured):
            costs = super()._time_emulator(measured)
            left.append(max(12.0, 3.0 * (costs.draw_s + LEAST_EMULATOR_STEPS * costs.step_s)))
            planned_at.append(time.monotonic())
            end_s = planned_at[0] + left[0] + training_plan.AFTERWARDS_S
            self._max_minutes = (end_s - self._started_s) / 60.0
            return costs

    monkeypatch.setattr(training, "RunPlanner", FewSecondsLeft)
    monkeypatch.setattr(training_plan, "AFTERWARDS_S", 1.0)
    sky = redflower.simulate(900, seed=4, g_faint_mag=18.0)
    stars = redflower.prepare(sky, purpose="training", limits=QualityLimits(g_faint_mag=18.0)).table
    stage = StageConfig(
        n_draws=2, magnitudes="likelihood", batch_size=128, max_epochs=200_000, patience=200_000, final_rate_fraction=0.1
    )  # fmt: skip
    emulator = EmulatorConfig(
        n_stars=2000, n_patterns=200, n_steps=200_000, batch_size=64, hidden=8, layers=1, denoiser_hidden=8, denoiser_layers=1
    )  # fmt: skip
    config = TrainConfig(
        flow=FlowConfig(depth=1, block_dim=2), stages=(stage,), emulator=emulator, validation_draws=2, magnitudes="likelihood"
    )  # fmt: skip
    plans: list[TrainingPlan] = []
    ended_at: list[float] = []
    model, result = redflower.train(
        stars, config=config, n_bands=3, max_minutes=60.0, estimate=plans.append,
        emulator_progress=lambda _: ended_at.append(time.monotonic()),
    )  # fmt: skip
    (made,) = plans
    assert made.left_s <= left[0] + training_plan.AFTERWARDS_S
    # Beside other work the least of the emulator's steps, and the check of it, may take as long again.
    assert ended_at[-1] - planned_at[0] < 2.0 * left[0]
    assert model.emulator is not None
    assert model.config["stages"][0]["max_epochs"] == made.config.stages[0].max_epochs < 200_000
    assert model.config["emulator"]["n_steps"] == made.config.emulator.n_steps < 200_000
    assert model.provenance["max_minutes"] == 60.0
    assert result.complete == (len(result.history) == made.config.stages[0].max_epochs)
    assert np.isfinite(result.validation_log_evidence)


@pytest.mark.slow
def test_the_default_beats_the_paper_s_recipe_in_the_same_time() -> None:
    """A quarter of the first stage of `quick`, and the paper's stage for as long as that took with its compiling."""
    stars = sample(3_000)
    ours = TrainConfig(
        flow=FlowConfig(depth=1, block_dim=2), stages=preset_stages("quick", 3_000)[:1], validation_draws=16
    )
    began = time.monotonic()
    quick = train_flow(stars, shortened(ours, 2_700, 0.25), n_bands=3, **LIMITS)
    minutes = (time.monotonic() - began) / 60.0
    theirs = ours.model_copy(update={"stages": preset_stages("paper", 3_000)})
    paper = train_flow(stars, theirs, n_bands=3, max_minutes=minutes, **LIMITS)
    assert quick.complete
    assert quick.validation_log_evidence > paper.validation_log_evidence
