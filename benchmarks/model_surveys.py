"""The surveys of a model's further bands, as `redflower.simulate` names them."""

from redflower.bands import STANDARD_SURVEYS
from redflower.flow import Model
from redflower.surveys import shipped_surveys


def further_surveys(model: Model) -> tuple[str, ...]:
    """Return the shipped surveys beside the standard ones whose every band the model has."""
    return tuple(
        name
        for name, survey in shipped_surveys().items()
        if name not in STANDARD_SURVEYS and set(survey.bands) <= set(model.bands.bands)
    )
