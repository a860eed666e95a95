"""Sphinx configuration: Markdown pages, and reference pages generated from the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Expansion propensity"
author = "the contributors"
copyright = "the contributors"  # noqa: A001 - the name that Sphinx reads
html_title = project

extensions = [
    "myst_parser",
    "numpydoc",
    "settings_reference",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx_click",
]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
numpydoc_show_class_members = False
doctest_test_doctest_blocks = ""  # pytest runs those of the docstrings

html_theme = "furo"
html_static_path: list[str] = []
html_theme_options = {"source_edit_link": "", "navigation_with_keys": True}
html_show_sourcelink = False

# Pages of other sites change without us.
linkcheck_ignore = [r"https?://.*"]
linkcheck_anchors = True
