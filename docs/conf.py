"""Sphinx configuration. `make docs` builds with warnings as errors; the tutorial runs while it is built."""

import hashlib
import os
import re
import shutil
from pathlib import Path

from redflower.provenance import VERSION



def cache_of_this_package(root: Path) -> Path:
    """Return the folder of executed pages for the sources, data and pins as they are; remove those of others.

    The cache itself knows a page by its cells alone: what it kept of another state of the package would be shown as that of this.
    """
    repository = Path(__file__).parents[1]
    state = hashlib.sha256((repository / "constraints.txt").read_bytes())
    for path in sorted((repository / "src").rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            state.update(str(path.relative_to(repository)).encode() + b"\0" + path.read_bytes())
    own = root / state.hexdigest()[:16]
    for other in root.glob("*"):
        if other != own:
            shutil.rmtree(other)
    return own


project = "redflower"
author = "the redflower developers"
copyright = f"2026, {author}"
version = release = VERSION

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    # Equations from files of this site's own, so that pages read offline are whole.
    "sphinx-mathjax-offline",
]
# `results/*` is included in pages, and is no page itself.
exclude_patterns = ["_build", "_templates", "jupyter_execute", "results/*"]
default_role = "literal"

myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

# A page with code cells runs once for each change of it or of the package; an error in a cell fails the build.
nb_execution_mode = "cache"
nb_execution_cache_path = str(cache_of_this_package(Path(__file__).parent / "_build" / "executed"))
nb_execution_raise_on_error = True
nb_execution_timeout = 1800  # of one cell: machines may be busy
nb_merge_streams = True
nb_output_stderr = "remove"  # hints of libraries about the notebook, with paths of the machine that built it
# Cells compile programs: these flags halve the time of that, as in the tests.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1")

autosummary_generate = True
autodoc_typehints = "none"  # types stand in the signature's docstring
napoleon_google_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "redflower"
templates_path = ["_templates"]
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
html_context = {"default_mode": "auto"}
html_show_sourcelink = False


#: Sections of this project's docstrings, whose items are "name : what it is", and the fields that Sphinx shows them as.
FIELDS = {"Parameters": "param", "Raises": "raises", "Attributes": "param"}


def to_fields(app, what, name, obj, options, lines):
    """Write the sections of a docstring as fields, and take |b| for the latitude that it is, not for a substitution."""
    out, section = [], None
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if following and set(following) == {"-"}:
            section = line.strip()
            if section == "Returns":
                out += ["", ":returns:"]
            elif section not in FIELDS:
                out.append(line)
        elif section == "Returns" or section in FIELDS:
            if set(line) == {"-"}:
                continue
            item = re.match(r"([\w*]+(?:, [\w*]+)*)(?: : (.*))?$", line) if section in FIELDS else None
            if item:
                out += [f":{FIELDS[section]} {each}: {item[2] or ''}" for each in item[1].split(", ")]
            else:
                out.append(f"    {line.strip()}" if line.strip() else "")
        else:
            out.append(line)
    lines[:] = [line.replace("|b|", r"\|b\|") for line in out]


def setup(app):
    """Add what is done to docstrings, before napoleon sees the rest of them."""
    app.connect("autodoc-process-docstring", to_fields, priority=400)
