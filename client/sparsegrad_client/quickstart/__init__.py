"""The quickstart: a real model, a small task, and every step on one machine."""
