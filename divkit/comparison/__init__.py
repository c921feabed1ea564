"""Comparisons of two sample sets: what was found, how it is found, and how it is read."""

from divkit.comparison.comparison import Comparison
from divkit.comparison.door import DEFAULT, compare
from divkit.comparison.findings import Findings, Row, Sample, Settings
from divkit.core.door import estimate

__all__ = ["DEFAULT", "Comparison", "Findings", "Row", "Sample", "Settings", "compare", "estimate"]
