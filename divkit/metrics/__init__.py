"""Metrics of generated samples, none of which needs a download."""

from __future__ import annotations

from divkit.metrics.accuracy import c2st
from divkit.metrics.features import Features, frechet, kid, train_features
from divkit.metrics.likelihood import kde_bandwidth, kde_log_likelihood
from divkit.metrics.modes import ModeCount, Modes, grid, modes, ring, swiss_roll
from divkit.metrics.neighbourhoods import Neighbourhoods, neighbourhoods

__all__ = [
    "Features", "ModeCount", "Modes", "Neighbourhoods", "c2st", "frechet", "grid", "kde_bandwidth", "kde_log_likelihood", "kid",
    "modes", "neighbourhoods", "ring", "swiss_roll", "train_features",
]
