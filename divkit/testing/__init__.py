"""Tests of P = Q by a divergence."""

from divkit.testing.permutation import TestResult, test

__all__ = ["TestResult", "test"]
