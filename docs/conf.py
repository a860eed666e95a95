"""Sphinx configuration: Markdown pages, and reference pages generated from the code."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Expansion propensity"
author = "the contributors"
copyright = "the contributors"
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
smartquotes = False  # quotes in settings and commands stay as they are typed

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
numpydoc_show_class_members = False
doctest_test_doctest_blocks = ""  # pytest runs those of the docstrings

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_theme_options = {"source_edit_link": "", "navigation_with_keys": True}
html_show_sourcelink = False

# Pages of other sites change without us.
linkcheck_ignore = [r"https?://.*"]
linkcheck_anchors = True
