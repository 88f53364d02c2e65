"""The marginal likelihood of dust-free stars, and the loop that maximises it."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.train.checkpoint import Epoch as Epoch
    from redflower.train.config import ContrastConfig as ContrastConfig
    from redflower.train.config import EmulatorConfig as EmulatorConfig
    from redflower.train.config import FlowConfig as FlowConfig
    from redflower.train.config import StageConfig as StageConfig
    from redflower.train.config import TrainConfig as TrainConfig
    from redflower.train.config import read_config as read_config
    from redflower.train.diagnostics import Diagnostics as Diagnostics
    from redflower.train.diagnostics import make_diagnostics as make_diagnostics
    from redflower.train.distil import DistilStep as DistilStep
    from redflower.train.distil import distil as distil
    from redflower.train.loop import TrainResult as TrainResult
    from redflower.train.loop import train_flow as train_flow

lazy_names(__name__)
