"""Second moments kept by row and column."""

from __future__ import annotations
