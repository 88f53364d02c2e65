"""Sphinx configuration. `make docs` builds with warnings as errors; the tutorial runs while it is built."""

import os
from pathlib import Path

from redflower.provenance import VERSION

project = "redflower"
author = "the redflower developers"
copyright = f"2026, {author}"
version = release = VERSION

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    # Equations from files of this site's own, so that pages read offline are whole.
    "sphinx-mathjax-offline",
]
# `results/*` is included in pages, and is no page itself.
exclude_patterns = ["_build", "jupyter_execute", "results/*"]
default_role = "literal"

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

# A page with code cells runs once for each change of it or of the package's version; an error in a cell fails the build.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent / "_build" / ".jupyter_cache")
nb_execution_raise_on_error = True
nb_execution_timeout = 1800  # of one cell: machines may be busy
nb_merge_streams = True
# Cells compile programs: these flags halve the time of that, as in the tests.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1")

autosummary_generate = True
autodoc_typehints = "none"  # types stand in the signature's docstring
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "redflower"
html_static_path = ["_static"]
html_css_files = ["redflower.css"]
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False


def escape_bars(app, what, name, obj, options, lines):
    """Take |b| of a docstring for the latitude that it is, and not for a substitution of reStructuredText."""
    lines[:] = [line.replace("|b|", r"\|b\|") for line in lines]


def setup(app):
    """Add what is done to docstrings."""
    app.connect("autodoc-process-docstring", escape_bars, priority=900)
