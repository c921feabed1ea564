"""The core runs where only its own dependencies are installed, and says what to install for more."""

import importlib
import importlib.util
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

import divkit

OPTIONAL = ("pandas", "pyarrow", "polars", "geomloss", "dcor", "hyppo", "pytest")

present = [name for name in OPTIONAL if importlib.util.find_spec(name)]
if present:
    sys.exit(f"this is no core-only environment: {', '.join(present)} installed")

modules = [found.name for found in pkgutil.walk_packages(divkit.__path__, "divkit.")]
for module in modules:
    importlib.import_module(module)
print(f"{len(modules)} modules import")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "x.parquet"
    path.write_bytes(b"PAR1")
    command = [str(Path(sys.executable).with_name("divkit")), "compare", str(path), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " ".join(done.stderr.split())
    if done.returncode != 2 or "pip install 'divkit[io]'" not in said:
        sys.exit(f"a parquet file without pyarrow: exit {done.returncode}, {said}")
print("a missing optional package is named with its remedy")
