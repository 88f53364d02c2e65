"""Dust reddening and distance of stars with conditional normalising flows (FLOWER)."""

__version__ = "0.1.0"
