"""Sphinx configuration."""

project = "redflower"
author = "the redflower developers"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "amsmath"]
html_theme = "alabaster"
# What benchmarks write is included in pages, and is no page itself.
exclude_patterns = ["_build", "results/*"]
