"""Bases as files: exported as one file or as a folder with a card, imported, read back."""
