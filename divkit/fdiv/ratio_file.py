"""The file of a trained density ratio: tensors, numbers and strings, of which nothing is executed when it is read."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from divkit.support.writing import write

__all__ = ["RatioFile"]

FORMAT = 1  # the version of the file's layout, raised with every change that older versions of divkit cannot read


@dataclass(frozen=True)
class RatioFile:
    """The contents of a file.

    Attributes
    ----------
    critic : list of str
        Names of the critics' factories; several stand for a choice between them.
    state : dict
        The solution's tensors.
    shapes : list of list of int
        The event shape of each part of a point.
    held_out, weights : list of Tensor
        Out-of-fold logits of x and y, and the rows' weights.
    seed : int
    """

    critic: list[str]
    state: dict[str, Any]
    shapes: list[list[int]]
    held_out: list[Tensor]
    weights: list[Tensor]
    seed: int

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file; it replaces an old one only when complete."""
        file = io.BytesIO()
        torch.save({"format": FORMAT, **vars(self)}, file)
        write(Path(path), file.getvalue())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RatioFile:
        """Read a file, or raise ValueError if it is of another kind or version, or is damaged."""
        try:
            contents = torch.load(path, map_location="cpu", weights_only=True)
            version = contents.pop("format")
            if version == FORMAT:
                return cls(**contents)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{os.fspath(path)} is no density ratio saved by divkit, or is damaged: {error}.") from error
        raise ValueError(f"{os.fspath(path)} has format {version}; this version of divkit reads {FORMAT}.")
