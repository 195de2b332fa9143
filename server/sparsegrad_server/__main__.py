"""``python -m sparsegrad_server``: the command ``sparsegrad-server``."""

from .cli import main

main()
