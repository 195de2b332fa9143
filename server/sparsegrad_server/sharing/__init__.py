"""Bases that come from elsewhere: checked, taken in, published."""
