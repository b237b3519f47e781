"""Descendants of Adam: other moments of past gradients."""

from __future__ import annotations
