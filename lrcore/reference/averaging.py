"""Averages of iterates, and sums of gradients: dual averaging, schedule-free and follow-the-leader methods."""

from __future__ import annotations
