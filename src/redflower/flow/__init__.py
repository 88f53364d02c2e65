"""The conditional normalising flow p(x | R, Z), its standardisation, coverage and model files."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.flow.bnaf import BlockAutoregressiveNetwork as BlockAutoregressiveNetwork
    from redflower.flow.conditional import ConditionalFlow as ConditionalFlow
    from redflower.flow.conditional import PreparedFlow as PreparedFlow
    from redflower.flow.coverage import Coverage as Coverage
    from redflower.flow.coverage import fit_coverage as fit_coverage
    from redflower.flow.model import Model as Model
    from redflower.flow.model_file import load_model as load_model
    from redflower.flow.model_file import save_model as save_model
    from redflower.flow.model_file import shipped_models as shipped_models
    from redflower.flow.standardise import Standardisation as Standardisation
    from redflower.flow.standardise import fit_standardisation as fit_standardisation

lazy_names(__name__)
