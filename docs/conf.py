"""Sphinx configuration."""

project = "redflower"
author = "the redflower developers"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "amsmath"]
html_theme = "alabaster"
exclude_patterns = ["_build"]
