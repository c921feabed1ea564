"""Whatever users hold becomes a measure: arrays, data frames, files."""

from divkit.data.measure import Measure, PrecisionWarning

__all__ = ["Measure", "PrecisionWarning"]
