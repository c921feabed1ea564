"""Critics that are started from the data, and then train a part of themselves on points embedded once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from divkit.data.measure import Measure

__all__ = ["Staged"]


class Staged(nn.Module, ABC):
    """A critic with a part fixed from the data, the embedding, and a part that is trained behind it, the head."""

    isometric: ClassVar[bool] = False  # whether slopes are the same where points are embedded

    @abstractmethod
    def standardise(self, x: Measure, y: Measure) -> None:
        """Take centre and scale from both samples."""

    @abstractmethod
    def start(self, fit: tuple[Measure, Measure], held: tuple[Measure, Measure]) -> None:
        """Standardise, and start where data without training lead."""

    @abstractmethod
    def embed(self, m: Measure) -> Measure:
        """Return the measure on which `head` trains."""

    @property
    def unit(self) -> float:
        """The network's scores over those of `head`."""
        return 1.0

    @abstractmethod
    def head(self) -> nn.Module:
        """Return the part that is trained, sharing its parameters with this network; its scores may be in other units."""
