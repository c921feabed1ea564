"""Tests of P = Q, and of which of two is closer."""

from divkit.testing.adaptive import Adaptive
from divkit.testing.c2st import ClassifierTest
from divkit.testing.door import test
from divkit.testing.relative import Closer, closer
from divkit.testing.result import TestResult

__all__ = ["Adaptive", "ClassifierTest", "Closer", "TestResult", "closer", "test"]
