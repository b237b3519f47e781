"""Rates that the sign of a gradient, or of its momentum, decides."""

from __future__ import annotations
