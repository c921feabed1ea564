"""Metrics of generated samples, none of which needs a download."""

from __future__ import annotations

from divkit.metrics.mixtures import ModeCount, Modes, grid, modes, ring, swiss_roll

__all__ = ["ModeCount", "Modes", "grid", "modes", "ring", "swiss_roll"]
