"""The mock Galaxy and surveys."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.simulate.sky import simulate_stars as simulate_stars

lazy_names(__name__)
