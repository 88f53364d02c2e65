"""Models and results show themselves in a line, and in notebooks as a small table."""

import dataclasses

import numpy as np

from redflower.api.calibration import Calibration
from redflower.calibrate.verdict import Verdict
from redflower.flow import load_model
from redflower.plot.sky_map import sky_map_figure
from redflower.products.page_calibration import calibration_facts
from redflower.products.skymap import SkyMap


def a_map(n_pixels: int = 3) -> SkyMap:
    ebv = np.linspace(0.0, 0.2, n_pixels * 2).reshape(n_pixels, 2)
    return SkyMap(
        nside=8,
        pixel=np.arange(n_pixels) + 40,
        distance_pc=np.array([300.0, 1000.0]),
        ebv_mag=ebv,
        ebv_std_mag=ebv * 0 + 0.01,
        n_stars=np.full(n_pixels, 50),
    )


def test_a_model_is_one_line_and_a_table() -> None:
    model = load_model("mock-sky")
    assert len(repr(model)) < 200
    assert model.model_id in repr(model)
    assert "<table>" in model._repr_html_()
    assert dataclasses.is_dataclass(model)


def test_a_map_tells_its_verdict_and_escapes_what_it_shows() -> None:
    bad = Verdict(((False, "<b>"),), {}, {})
    sky = dataclasses.replace(a_map(), verdict=bad)
    assert "THE MODEL IS NOT RIGHT" in repr(sky)
    assert "<b>Map of reddening</b>" in sky._repr_html_()


def test_the_picture_of_a_map_has_a_panel_per_distance_and_no_more_than_four() -> None:
    assert len(sky_map_figure(a_map()).axes) == 2 + 1
    many = dataclasses.replace(
        a_map(), distance_pc=np.arange(1, 8) * 200.0, ebv_mag=np.zeros((3, 7)), ebv_std_mag=np.zeros((3, 7))
    )
    assert len(sky_map_figure(many).axes) == 4 + 1


def test_a_calibration_is_three_facts() -> None:
    numbers = {
        "labels": ["G", "g"], "offset_mag": [0.0, 0.03], "error_mag": [0.001, 0.002], "passes": 5,
        "share_of_poor_fits": {"before": 0.04, "after": 0.011},
        "provenance": {"stars": 900, "left_out": 3, "dust": "no dust map is given", "converged": True},
    }  # fmt: skip
    found = Calibration(offsets=None, stars=None, numbers=numbers)
    assert "1 of 2" in repr(found)
    assert len(repr(found)) < 250
    assert "1.1% do not" in found._repr_html_()
    (off, *_) = calibration_facts(numbers)
    assert "g is 30.0 +- 2.0 mmag fainter" in off.note
    assert off.good is False
