"""A wheel holds what divkit needs outside its source tree."""

import sys
import zipfile
from pathlib import Path

names = set(zipfile.ZipFile(sys.argv[1]).namelist())
source = Path("divkit")
wanted = {str(path) for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
if missing := sorted(wanted - names):
    sys.exit(f"the wheel lacks {', '.join(missing)}")
if surplus := sorted(name for name in names - wanted if ".dist-info/" not in name):
    sys.exit(f"the wheel has {', '.join(surplus)}")
if not any(name.endswith(".html.j2") for name in names):
    sys.exit("no report template in the wheel")
print(f"{len(wanted)} files in the wheel")
