"""The service as processes: the web server, and the worker beside it."""

from .run import serve_until_stopped

__all__ = ["serve_until_stopped"]
