"""Stars with bands of spectra from a raw table to posteriors, by a model that was trained on such stars."""

import numpy as np
import pytest

import redflower
from redflower.posterior import InferenceSettings, NutsSettings
from redflower.surveys import survey_named
from redflower.train import EmulatorConfig, FlowConfig, StageConfig, TrainConfig
from tests.catalogue.test_correlated_bands import with_spectra

XP = survey_named("xp")


@pytest.mark.slow
def test_stars_with_spectra_are_trained_on_and_inferred(tmp_path) -> None:
    """Made-up bands, each G and a constant: what is tested is the way, not the astronomy."""
    raw = redflower.simulate(900, seed=3, population="sky", clouds=[], g_faint_mag=18.0)
    with_bands, _, _ = with_spectra(raw)
    quick = TrainConfig(
        flow=FlowConfig(depth=1, block_dim=2),
        stages=(StageConfig(n_draws=2, batch_size=128, max_epochs=2),),
        emulator=EmulatorConfig(
            n_stars=2000, n_patterns=500, n_steps=20, batch_size=128, hidden=32, layers=1, denoiser_hidden=32, denoiser_layers=1
        ),
    )  # fmt: skip
    training = redflower.prepare(with_bands, purpose="training", surveys=["xp"]).table
    model, result = redflower.train(training, name="spectra", surveys=["gaia", "2mass", "xp"], config=quick)
    assert np.isfinite(result.validation_log_evidence)
    assert model.bands.labels[-10:] == tuple(band.label for band in XP.bands)
    back = redflower.load_model(redflower.save_model(model, tmp_path / "spectra"))
    stars = redflower.prepare(with_bands, purpose="inference", surveys=["xp"]).table
    redflower.write_table(stars[:6], tmp_path / "stars.parquet")
    for engine in ("fast", "nuts"):
        settings = InferenceSettings(
            engine=engine, nuts=NutsSettings(n_chains=2, n_warmup=60, n_draws=60), batch_size=4, hand_on=False
        )
        found = redflower.infer(tmp_path / "stars.parquet", back, settings=settings, workers=1)[:4] if engine == "fast" else (
            redflower.infer(stars[:4], back, settings=settings, workers=1)
        )  # fmt: skip
        assert len(found) == 4
        assert np.isfinite(np.asarray(found["ebv_mean"])[1:]).all()
        # The first star has no spectrum, and so its BP and RP.
        shown = [str(text).split() for text in found["bands"]]
        assert all(("BP" in bands) != ("F410M" in bands) for bands in shown)
        assert sum("F410M" in bands for bands in shown) >= 3
