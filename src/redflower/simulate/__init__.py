"""The mock Galaxy and surveys."""

from redflower.simulate.sky import simulate_stars

__all__ = ["simulate_stars"]
