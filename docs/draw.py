"""Draw the gallery's pictures by running its pages' own lines: python docs/draw.py vae wae … (none: all)."""

from __future__ import annotations

import re
import sys
import textwrap
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure

from divkit.models.data import mosaic

HERE = Path(__file__).resolve().parent
SHOWN = 64


def lines(page: Path) -> str:
    """The page's Python block."""
    found = re.search(r"^\.\. code-block:: python\n((?:\n| +.*\n?)+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, page
    return textwrap.dedent(found[1])


def draw(name: str) -> None:
    """Run a page and write a picture of each of its models."""
    torch.manual_seed(0)
    names: dict[str, object] = {}
    exec(lines(HERE / "gallery" / f"{name}.rst"), names)  # our own pages
    models = names.get("models", {name: names.get("model")})
    assert isinstance(models, dict)
    for key, model in models.items():
        with torch.no_grad():
            torch.manual_seed(0)
            x = model.eval().sample(SHOWN).clamp(0, 1)
        figure = Figure(figsize=(4, 4))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.imshow(mosaic(x), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        ax.set_axis_off()
        figure.savefig(HERE / "_static" / "gallery" / f"{key}.png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    for each in sys.argv[1:] or sorted(page.stem for page in (HERE / "gallery").glob("*.rst")):
        start = time.process_time()
        draw(each)
        print(f"{each}: {time.process_time() - start:.0f} s of processor", flush=True)
