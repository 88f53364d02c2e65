"""Every public function says what goes in, what comes out and what it refuses, and shows an example that runs as printed."""

import doctest
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

import redflower
import redflower.api
from redflower.catalogue.maps.distance_prior import default_distance_prior
from redflower.posterior import InferenceSettings

PUBLIC = {
    function.__module__ + "." + function.__qualname__: function
    for package in (redflower, redflower.api)
    for name in package.__all__
    if inspect.isfunction(function := getattr(package, name))
}
#: These take whatever table they are given.
REFUSES_NOTHING = {"usable_rows", "status_counts", "describe_statuses"}


def sections(function) -> list[str]:
    return re.findall(r"^(\w+)\n-+$", inspect.getdoc(function) or "", re.MULTILINE)


def test_the_public_names_are_listed() -> None:
    assert {"infer", "prepare", "sightline", "train", "validate", "calibrate"} <= set(redflower.__all__)
    assert len(PUBLIC) >= 20


@pytest.mark.parametrize("function", PUBLIC.values(), ids=PUBLIC)
def test_a_public_docstring_has_every_section_and_begins_with_a_verb(function) -> None:
    wanted = ["Parameters", "Returns", "Raises", "Examples"]
    if function.__name__ in REFUSES_NOTHING:
        wanted.remove("Raises")
    assert sections(function) == wanted
    text = inspect.getdoc(function)
    assert not re.match(r"(The|An?|Whether|Which|How|What|All) ", text)
    for name in inspect.signature(function).parameters:
        assert re.search(rf"^([\w, ]+, )?{name}(, [\w, ]+)? : ", text, re.MULTILINE), name


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The files that the examples read: stars of the shipped model's own sky, few, for compilation is most of the time."""
    place = tmp_path_factory.mktemp("examples")
    raw = redflower.simulate(40, preset="one-cloud", seed=1)
    redflower.write_table(raw, place / "raw.parquet")
    stars = redflower.prepare(raw, purpose="inference").table
    redflower.write_table(stars, place / "stars.parquet")
    redflower.write_table(stars[np.argsort(stars["gaia_g"])[:2]], place / "few-stars.parquet")
    dust_free = redflower.prepare(redflower.simulate(520, seed=2), purpose="training").table
    redflower.write_table(dust_free, place / "dust-free.parquet")
    posteriors = redflower.infer(stars, "mock-sky", settings=InferenceSettings(density=True, hand_on=False))
    redflower.write_table(posteriors, place / "posteriors.parquet")
    prior = default_distance_prior()
    lines = [f"{i},{prior.log_length_pc[i]},{prior.alpha[i]},{prior.beta[i]}" for i in range(12)]
    (place / "prior.csv").write_text("\n".join(["healpix,log_length_pc,alpha,beta", *lines]))
    offsets = {
        "format": "redflower-offsets", "format_version": 1, "model": "mock-sky-0", "provenance": {},
        "bands": ["gaia_bp", "gaia_rp"], "offset_mag": [0.004, -0.002],
        "covariance_mag2": (1e-6 * np.eye(2)).tolist(),
    }  # fmt: skip
    (place / "offsets.json").write_text(json.dumps(offsets))
    return place


@pytest.mark.parametrize("function", PUBLIC.values(), ids=PUBLIC)
def test_an_example_runs_as_printed(function, folder, monkeypatch, capsys) -> None:
    if function.__name__ == "draw_posteriors":
        pytest.importorskip("arviz", reason="the extra `arviz` is not installed")
    monkeypatch.chdir(folder)
    example = doctest.DocTestParser().get_doctest(
        inspect.getdoc(function), {}, function.__name__, inspect.getsourcefile(function), 0
    )
    assert example.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example)
    assert runner.failures == 0, capsys.readouterr().out
