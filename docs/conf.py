"""Sphinx configuration."""

from importlib.metadata import version as installed_version

project = "nearfar"
author = "The nearfar authors"
release = version = installed_version("nearfar")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "results/table*.md", "results/fig*.md", "results/sequence.md"]  # those are included
html_theme = "furo"
html_title = "nearfar"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
