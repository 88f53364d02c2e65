"""Does the inference recover injected reddening? The experiment of section 5.1 of the paper, and its scores."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.validate.scores import Scores as Scores
    from redflower.validate.scores import score as score
    from redflower.validate.synthetic import Trial as Trial
    from redflower.validate.synthetic import redden as redden
    from redflower.validate.synthetic import trials as trials

lazy_names(__name__)
