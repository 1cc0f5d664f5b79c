"""How Sphinx builds the web site, from the folder that `docs/gather.py` puts together. It never runs a notebook."""

import sys
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

project = "Where images meet words"
author = "the paperlib authors"
project_copyright = author
html_title = project
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_extra", "downloads", "**/.ipynb_checkpoints"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_number_source_lines = False
nb_ipywidgets_js = {}  # by default myst-nb loads require.js and the widgets from a CDN
nb_mime_priority_overrides = [("html", "image/png", 5), ("html", "image/jpeg", 25)]
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_mock_imports = ["lmms_eval"]  # an extra that is not installed
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "ignore-module-all": True}
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
# Docstrings are written to be read as plain text, tables and lists included, so docutils finds their markup loose.
# `myst.header`: a text cell of a notebook may begin below a heading that an earlier cell left out.
suppress_warnings = ["docutils", "ref.python", "myst.header"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_search_summary = False  # summaries are fetched, which no browser allows from disk
html_extra_path = [str(ROOT / "build" / "site-source" / "_extra")]
pygments_style = "friendly"
pygments_dark_style = "monokai"


def as_written(app, doctree):
    """Show what docutils takes for loose markup in a docstring as it is written, not as a link to a warning."""
    for node in list(doctree.findall(nodes.problematic)):
        node.replace_self(nodes.inline("", node.astext(), ids=node["ids"]))


def setup(app):
    """What Sphinx calls first."""
    app.connect("doctree-read", as_written)
