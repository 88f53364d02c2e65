"""ArviZ objects: dimensions, units, and the same numbers as the tables."""

import numpy as np
import pytest

import redflower
from redflower.errors import InputError
from redflower.posterior import InferenceSettings, NutsSettings
from redflower.products import arviz_objects, cloud_inference_data
from redflower.sightline import TemperingSettings
from tests.helpers.sightlines import posterior_table

az = pytest.importorskip("arviz", reason="the extra `arviz` is not installed")


@pytest.fixture(scope="module")
def result():
    quick = TemperingSettings(n_particles=100, n_moves=3, n_final=8)
    return redflower.sightline(posterior_table(100, [(400.0, 0.2)]), max_clouds=2, settings=quick)


def test_the_summary_of_the_clouds_is_the_cloud_table(result):
    data = cloud_inference_data(result.fit)
    summary = az.summary(data, kind="stats", round_to="none")
    for k, row in enumerate(result.clouds):
        for name, column in (("distance", "distance_pc"), ("ebv", "ebv_mag")):
            of_cloud = summary.loc[f"{name}[{k + 1}]"]
            assert of_cloud["mean"] == pytest.approx(row[column], rel=1e-6)
            # The table divides by n, ArviZ by n - 1.
            assert of_cloud["sd"] == pytest.approx(row[f"{column}_std"], rel=2e-3)
    assert data.posterior["distance"].dims == ("chain", "draw", "cloud")
    assert data.posterior["distance"].attrs["units"] == "pc"
    assert data.posterior["foreground"].attrs["units"] == "mag"
    assert "units" not in data.posterior["patchiness"].attrs
    assert data.posterior.attrs["probability"] == result.fit.best.probability


def test_every_number_of_clouds_has_its_draws(result):
    nothing = cloud_inference_data(result.fit, 0)
    assert set(nothing.posterior.data_vars) == {"foreground", "scatter", "outlier_share"}
    assert cloud_inference_data(result.fit, 2).posterior.sizes["cloud"] == 2
    with pytest.raises(InputError, match=r"0 to 2 clouds; n_clouds = 3"):
        cloud_inference_data(result.fit, 3)


def test_it_is_written_and_read(result, tmp_path):
    path = tmp_path / "clouds.nc"
    data = cloud_inference_data(result.fit, 1)
    data.to_netcdf(str(path))
    back = az.from_netcdf(str(path))
    np.testing.assert_array_equal(back.posterior["ebv"], data.posterior["ebv"])
    assert back.posterior["ebv"].attrs["units"] == "mag"


def test_without_arviz_one_message(result, monkeypatch):
    def absent(name: str):
        raise ImportError(name)

    monkeypatch.setattr(arviz_objects.importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"redflower\[arviz\]"):
        cloud_inference_data(result.fit)


@pytest.mark.slow
def test_the_summary_of_the_chains_is_the_table_of_infer():
    sky = redflower.simulate(6, seed=2, preset="one-cloud", g_faint_mag=17.0)
    stars = redflower.prepare(sky, purpose="inference").table
    stars["gaia_g"][0] = np.nan  # a star without G has chains like the others
    for band in redflower.bands.BANDS[1:]:
        stars[band.name][1] = np.nan
    nuts = NutsSettings(n_chains=2, n_warmup=40, n_draws=40)
    settings = InferenceSettings(engine="nuts", nuts=nuts, batch_size=len(stars))
    table = redflower.infer(stars, "mock-sky", settings=settings)
    data = redflower.draw_posteriors(stars, "mock-sky", settings=settings)
    assert table["status"][1] == "no_bands"
    used = np.isfinite(table["ebv_mean"])
    assert data.posterior["star"].values.tolist() == list(table["source_id"][used])
    summary = az.summary(data, var_names=["ebv", "distance"], kind="stats", round_to="none")
    for star in table[used]:
        for name in ("ebv", "distance"):
            row = summary.loc[f"{name}[{star['source_id']}]"]
            assert row["mean"] == pytest.approx(star[f"{name}_mean"], rel=1e-5)
            assert row["sd"] == pytest.approx(star[f"{name}_std"], rel=1e-4)
    assert data.posterior.attrs["model"] == table["model"][0]
    assert data.posterior["ebv"].attrs["units"] == "mag"
    assert data.sample_stats["diverging"].sum() == table["divergences"][used].sum()
