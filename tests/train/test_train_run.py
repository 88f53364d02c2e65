"""A training run as a user has it: killed, resumed, from a file larger than it may hold, diverging, reported."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import redflower
from redflower.api import sample as sample_module
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.cli.app import main
from redflower.errors import InputError, TrainingError
from redflower.flow import fit_coverage, load_model
from redflower.physics import flow_condition
from redflower.train import ContrastConfig, EmulatorConfig, FlowConfig, StageConfig, TrainConfig, train_flow
from redflower.train.batches import Batches
from redflower.train.dataset import tabulate
from tests.train.test_train import CONFIG, LIMITS, sample

TOML = """
validation_draws = 2
magnitudes = "likelihood"
[emulator]
n_steps = 0
[flow]
depth = 1
block_dim = 2
[[stages]]
n_draws = 2
batch_size = 128
learning_rate = 1e-2
max_epochs = 5
[[stages]]
n_draws = 2
batch_size = 256
max_epochs = 2
"""


@pytest.fixture(scope="module")
def stars(tmp_path_factory) -> Path:
    """A prepared Parquet table of 900 stars and a configuration beside it."""
    folder = tmp_path_factory.mktemp("training")
    sky = redflower.simulate(900, seed=4, g_faint_mag=18.0)
    limits = QualityLimits(g_faint_mag=18.0)
    redflower.write_table(
        redflower.prepare(sky, purpose="training", limits=limits).table, folder / "stars.parquet"
    )
    (folder / "config.toml").write_text(TOML)
    return folder / "stars.parquet"


def train_command(stars: Path, model: Path, *more: str) -> list[str]:
    code = "from redflower.cli import main; main()"
    options = ["--config", str(stars.with_name("config.toml")), "--bands", "gaia"]
    return [sys.executable, "-c", code, "train", str(stars), str(model), *options, *more]


@pytest.mark.slow
def test_a_run_killed_by_the_system_resumes_to_the_same_model(stars: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of a run; --resume then ends with the very bits of a run that was left alone."""
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    done = subprocess.run(train_command(stars, whole), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(train_command(stars, killed), stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if re.search(r"stage 1 of 2, epoch [23]", line):
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert not killed.exists()
    assert killed.with_name("killed.checkpoint").is_file()
    done = subprocess.run(
        train_command(stars, killed, "--resume"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "stage 1 of 2, epoch 1:" not in done.stderr  # it did go on, not start again
    for a, b in zip(*(jax.tree.leaves(load_model(path).flow) for path in (whole, killed)), strict=True):
        np.testing.assert_array_equal(a, b)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"whole.safetensors", "whole.report", "killed.safetensors", "killed.report"}
    report = tmp_path / "killed.report"
    assert {"curves.png", "diagram.png", "coverage.png", "sky.png", "ruwe.png", "history.json"} <= {
        path.name for path in report.iterdir()
    }
    page = (report / "report.html").read_text()
    assert page.count("data:image/png;base64") == 5
    assert "Held-out ln evidence" in page


def test_a_file_read_in_pieces_gives_the_sample_of_the_table(
    stars: Path, tmp_path: Path, monkeypatch
) -> None:
    """Memory-mapped and read 200 rows at a time, or whole in memory: the same numbers in the same order."""
    monkeypatch.setattr(sample_module, "CHUNK_ROWS", 200)
    prior = default_distance_prior()
    mapped = training_sample(stars, prior, folder=tmp_path / "tabulated")
    whole = training_sample(redflower.read_table(stars), prior)
    assert isinstance(mapped.data.posterior_log_distance, np.memmap)
    for a, b in zip(jax.tree.leaves(mapped.data), jax.tree.leaves(whole.data), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(mapped.source_id, whole.source_id)
    assert (mapped.g_bright_mag, mapped.g_faint_mag) == (whole.g_bright_mag, whole.g_faint_mag)
    assert len(mapped.source_id) > 800


def test_every_star_of_an_epoch_is_in_one_batch_and_gaps_are_spread(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gaps = rng.random(1000) < 0.05
    batches = Batches(np.arange(1000), gaps, 100, np.random.default_rng(1))
    seen: list[int] = []
    for step in range(batches.n_steps):
        groups = batches.groups(step)
        for has_gaps, rows, weights in groups:
            assert (gaps[rows[weights > 0]] == has_gaps).all()
            seen += rows[weights > 0].tolist()
        assert sum(weights.sum() for *_, weights in groups) >= 98
    assert len(seen) == len(set(seen))
    assert len(seen) > 970
    assert set(np.flatnonzero(gaps)) <= set(seen)


def test_a_step_that_is_not_finite_stops_with_the_last_good_flow_and_names_stars(monkeypatch) -> None:
    """In the second epoch one star's data turn bad under the run's feet: the run stops and says which."""
    # 540 training stars in four batches: every star is in one.
    stage = CONFIG.stages[0].model_copy(update={"batch_size": 135})
    config = CONFIG.model_copy(update={"stages": (stage,)})
    data = tabulate(sample(600))
    good = data.star.magnitude_mag.copy()

    def spoil(epoch) -> None:
        if epoch.epoch == 1:
            data.star.magnitude_mag[training_row, 1] = np.nan

    shuffled = np.random.default_rng(CONFIG.seed).permutation(600)
    training_row = int(shuffled[300])
    names = 7000 + np.arange(600)
    result = train_flow(data, config, n_bands=3, names=names, progress=spoil, **LIMITS)
    assert "not finite at stage 1, epoch 3" in result.stopped_because
    assert f"the stars are {7000 + training_row}" in result.stopped_because
    assert result.bad_rows.tolist() == [training_row]
    assert len(result.history) == 2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.flow))
    data.star.magnitude_mag[:] = good
    data.star.magnitude_mag[5, 0] = np.nan
    with pytest.raises(TrainingError, match="7005"):
        train_flow(data, CONFIG, n_bands=3, names=names, **LIMITS)


def test_a_diverging_loss_stops_with_the_best_flow() -> None:
    """A second stage with an absurd learning rate throws the flow off; the first stage's flow is what one gets."""
    stages = (
        StageConfig(n_draws=2, batch_size=128, max_epochs=3, learning_rate=1e-2),
        StageConfig(n_draws=2, batch_size=128, max_epochs=5, learning_rate=1e3, gradient_clip=1e6),
    )
    config = TrainConfig(
        flow=FlowConfig(depth=1, block_dim=2), stages=stages, validation_draws=4, magnitudes="likelihood"
    )
    result = train_flow(sample(600), config, n_bands=3, **LIMITS)
    assert re.search("diverged|not finite", result.stopped_because), result.stopped_because
    assert len(result.bad_rows)
    assert result.validation_log_evidence == max(e.validation_log_evidence for e in result.history)
    assert result.history[-1].stage == 0 or len(result.history) < 8


def test_progress_has_both_terms_and_the_time_left() -> None:
    contrast = ContrastConfig(strength=0.2, ramp_epochs=2, n_draws=1)
    config = CONFIG.model_copy(update={"contrast": contrast})
    steps: list[tuple[int, int]] = []
    epochs = []
    started = time.monotonic()
    result = train_flow(
        sample(600),
        config,
        n_bands=3,
        progress=epochs.append,
        step_progress=lambda *s: steps.append(s),
        **LIMITS,
    )
    assert steps[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    np.testing.assert_allclose([e.contrast_strength for e in epochs[:3]], [0.0, 0.1, 0.2], atol=1e-9)
    assert all(e.validation_log_contrast < e.validation_log_evidence for e in epochs)
    assert epochs[-1].seconds_left == 0.0
    assert 0.0 < epochs[1].seconds_left < 60.0 + time.monotonic() - started
    assert result.history == epochs


def test_a_flow_corrected_by_one_field_can_keep_the_coverage_of_its_start(stars: Path) -> None:
    """A field's stars lie along one line in (R, Z): by themselves they cover nothing else."""
    limits = QualityLimits(g_faint_mag=18.0)
    cone = redflower.simulate(
        600, seed=5, preset="cone", l_deg=215.7, b_deg=31.9, radius_deg=1.0, g_faint_mag=18.0
    )
    field = redflower.prepare(cone, purpose="training", limits=limits).table
    config = TrainConfig(
        validation_draws=2,
        magnitudes="likelihood",
        flow=FlowConfig(depth=1, block_dim=2),
        stages=(StageConfig(n_draws=2, batch_size=128, max_epochs=1),),
        emulator=EmulatorConfig(n_steps=0),
    )
    start, _ = redflower.train(redflower.read_table(stars), name="start", config=config, n_bands=3)
    kept, result = redflower.train(
        field, name="field", config=config, n_bands=3, start_from=start, keep_coverage=True
    )
    elsewhere = flow_condition(1000.0, 30.0, 60.0)
    assert bool(start.coverage.contains(elsewhere))
    assert bool(kept.coverage.contains(elsewhere))
    assert not bool(fit_coverage(result.condition).contains(elsewhere))
    for a, b in zip(jax.tree.leaves(kept.coverage), jax.tree.leaves(start.coverage), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (kept.provenance["coverage_kept"], start.provenance["coverage_kept"]) == (True, False)
    with pytest.raises(InputError, match="start_from"):
        redflower.train(field, name="field", config=config, n_bands=3, keep_coverage=True)


def test_bad_training_input_is_one_message(stars: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    raw = tmp_path / "raw.parquet"
    redflower.write_table(redflower.simulate(30, seed=1), raw)
    for arguments, message in (
        ((raw, tmp_path / "m"), "prepared"),
        ((stars, tmp_path / "m", "--resume"), "no checkpoint"),
        ((stars, tmp_path / "m", "--keep-coverage"), "--start-from"),
        ((stars, tmp_path / "m", "--preset", "fast"), "no preset 'fast'"),
        ((stars, tmp_path / "m", "--max-minutes", "0"), "above 0"),
        ((stars, tmp_path / "m", "--preset", "quick", "--config", stars.with_name("config.toml")), "exclude"),
    ):
        monkeypatch.setattr(sys, "argv", ["redflower", "train", *map(str, arguments), "--bands", "gaia"])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"raw.parquet"}
