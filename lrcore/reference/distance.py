"""Rates from the distance that parameters have come: DoG, D-Adaptation, Prodigy."""

from __future__ import annotations
