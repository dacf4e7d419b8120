"""How `make docs` builds the pages: the repository is the source, so that links from one document to any file are checked."""

from __future__ import annotations

from pathlib import Path

import dispatcher

project = "Wake Dispatcher"
release = dispatcher.__version__
root_doc = "docs/index"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
include_patterns = [
    "docs/**.md",
    "docs/**/**.md",
    "README.md",
    "CHANGELOG.md",
    "dispatcher/**.md",
    "bench/results/*.md",
    "bench/results/long/*.md",
    "examples/openclaw/README.md",
]
myst_heading_anchors = 3
nitpicky = True
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]
exclude_patterns = [path.name for path in Path(__file__).parents[1].iterdir() if path.name.startswith(".")]
html_show_copyright = False
