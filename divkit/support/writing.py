"""Writing of files, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["write"]


def write(path: Path, content: bytes) -> None:
    """Write a file so that an interruption, a kill included, leaves the old one or the new one.

    Raises
    ------
    OSError
        Where the folder does not exist or the file cannot be written; nothing half-written stays behind.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".divkit-", suffix=path.suffix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
