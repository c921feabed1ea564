"""dcor without numba, which compiles for half a minute on import and once took a run's workers down.

Nothing that the tests compare with is compiled: energy distances come from scipy's distances.
"""

from __future__ import annotations

import sys
from unittest import mock

__all__ = ["dcor"]

with mock.patch.dict(sys.modules, {"numba": mock.MagicMock(), "numba.types": mock.MagicMock()}):
    import dcor
