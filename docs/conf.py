"""How the site is built: Sphinx reads the pages as Markdown, and the reference from the code.

`make docs` builds it into `build/docs`, offline, with warnings as errors. The pages whose text is
generated hold a comment ``<!-- generated: name argument -->`` where it goes; `_generate` has a
function for each name.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))

import _generate  # noqa: E402 - beside this file, which is no package

# The notebook runs while the site is built, on the small model that installs as a package.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# What libraries say of kernels that this machine lacks is no warning about the pages.
for library in ("torchao", "torch.utils._pytree", "bitsandbytes"):
    logging.getLogger(library).setLevel(logging.ERROR)

project = "SparseGrad"
author = "the SparseGrad authors"
project_copyright = author
release = version = version_of("sparsegrad-peft")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_generate"]
master_doc = "index"

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_output_stderr = "remove"  # bars, and what libraries say of the machine

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    # What comes from other libraries' classes is theirs to describe.
    "inherited-members": "Module, Optimizer, TrainerCallback, PeftConfig, PushToHubMixin, object",
}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
default_role = "code"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"SparseGrad {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

setup = _generate.setup
