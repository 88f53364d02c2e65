"""Figures of inferred stars and of one star: on scales that follow the data, from the table alone."""

import numpy as np
import pytest
from astropy.table import Table

import redflower
from redflower.errors import InputError
from redflower.plot.posteriors import MANY_STARS, reddening_of_distance_figure, reddening_range_mag
from redflower.plot.star import contour_levels, star_figure
from redflower.products.posterior_figures import posterior_figures
from tests.cli.test_commands import run
from tests.helpers.sightlines import posterior_table


def with_quantiles(table: Table) -> Table:
    """Quantiles as of normal posteriors, which the invented table has not."""
    for name in ("ebv", "distance"):
        for label, z in (("q05", -1.645), ("q16", -1.0), ("q50", 0.0), ("q84", 1.0), ("q95", 1.645)):
            table[f"{name}_{label}"] = np.asarray(table[f"{name}_mean"]) + z * np.asarray(
                table[f"{name}_std"]
            )
    return table


@pytest.fixture(scope="module")
def table() -> Table:
    return with_quantiles(posterior_table(80, [(400.0, 0.2)]))


def test_the_scale_of_reddening_follows_the_stars_and_is_never_narrow() -> None:
    spread = np.linspace(0.0, 1.0, 1001)
    assert reddening_range_mag(Table({"ebv_mean": spread})) == pytest.approx((0.0, 0.98), abs=2e-3)
    assert reddening_range_mag(Table({"ebv_mean": np.full(9, 0.02)})) == (0.0, 0.1)
    assert reddening_range_mag(Table({"ebv_mean": [np.nan]})) == (0.0, 0.1)


def test_few_stars_have_error_bars_and_many_are_a_density(table: Table) -> None:
    few = reddening_of_distance_figure(table).axes
    assert len(few) == 1
    many = Table(
        {
            name: np.resize(table[name], MANY_STARS + 1)
            for name in ("distance_mean", "distance_std", "ebv_mean", "ebv_std")
        }
    )
    drawn = reddening_of_distance_figure(many).axes
    assert len(drawn) == 2  # the second is the scale of the density
    low, high = drawn[0].get_ylim()
    assert low < float(np.median(table["ebv_mean"])) < high


def test_a_narrow_range_of_distances_still_has_labels() -> None:
    rng = np.random.default_rng(0)
    table = Table({"distance_mean": rng.uniform(650, 1500, 50), "ebv_mean": rng.normal(0.05, 0.02, 50)})
    table["distance_std"], table["ebv_std"] = 20.0, 0.02
    assert len(reddening_of_distance_figure(table).axes[0].get_xticks()) >= 3


def test_contours_hold_the_shares_they_say() -> None:
    """Of a normal density on a fine grid: 68 and 95 % within a cell's mass."""
    x, y = np.meshgrid(np.linspace(-4, 4, 161), np.linspace(-4, 4, 161))
    log_density = -0.5 * (x**2 + y**2)
    weight = np.exp(log_density) / np.exp(log_density).sum()
    outer, inner = contour_levels(log_density)
    assert weight[np.exp(log_density) >= inner].sum() == pytest.approx(0.68, abs=0.01)
    assert weight[np.exp(log_density) >= outer].sum() == pytest.approx(0.95, abs=0.01)


def test_plot_draws_a_table_and_one_of_its_stars(table, tmp_path, capsys, monkeypatch) -> None:
    path = redflower.write_table(table, tmp_path / "post.parquet")
    code, out, _ = run(capsys, monkeypatch, "plot", path)
    assert code == 0
    assert {"reddening-distance.png", "histogram.pdf", "sky.png"} <= {
        line.rsplit("/")[-1] for line in out.split()
    }
    star = int(table["source_id"][3])
    code, out, _ = run(capsys, monkeypatch, "plot", path, "--star", star, "--out", tmp_path / "star")
    assert code == 0
    assert (tmp_path / "star" / f"star-{star}.png").stat().st_size > 5000
    for arguments, message in (
        (("plot", path), "holds reddening-distance.png already"),
        (
            ("plot", path, "--star", 5, "--out", tmp_path / "other"),
            "no star of the table has the source_id 5",
        ),
    ):
        code, _, err = run(capsys, monkeypatch, *arguments)
        assert code == 2
        assert message in " ".join(err.split())


def test_a_table_without_posteriors_or_usable_stars_is_refused(table: Table) -> None:
    with pytest.raises(InputError, match="it lacks ebv_mean"):
        posterior_figures(Table({"source_id": [1]}))
    failed = table.copy()
    failed["status"] = "failed"
    with pytest.raises(InputError, match="none of 80 stars can be used"):
        posterior_figures(failed)


def test_a_star_without_density_is_a_cross_of_its_quantiles(table: Table) -> None:
    magnitudes = Table(
        {
            "band": ["BP", "RP"],
            "observed": [15.0, 14.0],
            "error": [0.01, 0.02],
            "predicted": [15.01, 14.0],
            "predicted_error": [0.03, 0.03],
        }
    )
    axes = star_figure(table[3], None, magnitudes).axes
    assert len(axes) == 2
    assert "observed" in axes[1].get_ylabel()
