"""Checkpoints: written whole or not at all, read without running anything, and refused in one line where they do not fit."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from divkit.support.writing import write

__all__ = ["digest", "load", "save", "sound"]

FORMAT = "divkit training, version 1"


def digest(data: Tensor) -> str:
    """Return a checksum of data, by which a checkpoint knows what it was trained on."""
    checksum = hashlib.sha256(repr((tuple(data.shape), data.dtype)).encode())
    checksum.update(data.detach().contiguous().cpu().numpy().tobytes())
    return checksum.hexdigest()[:16]


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of tensors, numbers, strings, lists and dictionaries."""
    file = io.BytesIO()
    torch.save({"format": FORMAT, **state}, file)
    write(path, file.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote.

    Raises
    ------
    ValueError
        In one line, for what is no checkpoint, is damaged, of another version, or holds more than numbers and strings.
    """
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); delete it and start again without --resume.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds on damaged files
        first = " ".join(str(error).split()).partition(". ")[0][:120]
        what = f"{path} is damaged, or no checkpoint ({type(error).__name__}: {first})"
        raise ValueError(f"{what}; delete it and start again without --resume.") from error
    version = state.get("format") if isinstance(state, dict) else None
    if version != FORMAT:
        raise ValueError(f"{path} is no checkpoint of this version: wanted {FORMAT!r}, got {str(version)[:60]!r}.")
    return dict(state)


def sound(state: Any) -> bool:
    """Return whether a nested state is without NaN; infinities may be meant, as the ends of a range."""
    if isinstance(state, Tensor):
        return not bool(state.isnan().any())
    if isinstance(state, Mapping):
        return all(map(sound, state.values()))
    return all(map(sound, state)) if isinstance(state, list | tuple) else True
