"""A small training loop, and what it measures."""
