"""lrcore: the optimizer step on a CPU."""

__version__ = "0.1.0"
