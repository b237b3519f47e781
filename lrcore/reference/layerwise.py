"""Rates from sums over each array: trust ratios and normalized gradients."""

from __future__ import annotations
