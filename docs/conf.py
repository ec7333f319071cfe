"""How the documentation site is built: `make docs`. Nothing in its pages is loaded from another host."""

project = "orchestrator"
extensions = ["myst_parser"]
exclude_patterns = ["ci", "systemd"]
myst_heading_anchors = 4
"""So that `page.md#heading` is a link that the build checks."""
nitpicky = True
smartquotes = False
"""What stands here is searched for and typed as it stands."""
html_theme = "furo"
html_title = "orchestrator"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
pygments_style = "default"
highlight_language = "none"
"""What is not said to be YAML or Python is a command or an answer."""
