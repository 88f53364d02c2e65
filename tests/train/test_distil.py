"""Going on from an emulator: the networks of the one given, unless it is of another size."""

import pytest

import redflower
from redflower.train import EmulatorConfig, distil

FEW = {"n_stars": 4000, "n_patterns": 200, "n_steps": 1, "batch_size": 64, "learning_rate": 1e-7}


def held_out_loss(config: EmulatorConfig, **keywords) -> float:
    steps = []
    distil(redflower.load_model("mock-sky"), config, progress=steps.append, **keywords)
    return steps[-1].density_loss


@pytest.mark.slow
def test_distilling_goes_on_from_an_emulator_of_its_size() -> None:
    model = redflower.load_model("mock-sky")
    own = model.config["emulator"]
    sizes = {k: own[k] for k in ("hidden", "layers", "components", "denoiser_hidden", "denoiser_layers")}
    fresh = held_out_loss(EmulatorConfig(**FEW, **sizes))
    started = held_out_loss(EmulatorConfig(**FEW, **sizes), start_from=model.emulator)
    assert started < fresh - 2.0  # nat a star: one step of this length teaches nothing
    other = sizes | {"hidden": sizes["hidden"] + 1}
    assert held_out_loss(EmulatorConfig(**FEW, **other), start_from=model.emulator) > started + 2.0
