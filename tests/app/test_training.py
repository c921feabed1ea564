"""`divkit train`: what it writes, what it says, and what it refuses in one line."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from divkit.app import cli
from divkit.app.training import Order, _data, train
from divkit.models.data import SETS
from divkit.models.recipes import RECIPES

SHORT = {"steps": 4, "batch": 16, "seed": 1}


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["divkit", "train", *arguments])
    return cli._run(sys.argv[1:])


def test_what_a_run_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    code = _main(monkeypatch, "wae", "--divergence", "energy", "--steps", "4", "--batch", "16", "--out", str(out), "--json")
    said = capsys.readouterr()
    assert code == 0
    found = json.loads(said.out)
    assert (found["first"]["step"], found["last"]["step"]) == (0, 4)
    assert found["last"]["objective"] < found["first"]["objective"]
    assert "step 4: objective" in said.err
    names = {"checkpoint.pt", "metrics.jsonl", "samples.png", "samples-start.png", "reconstructions.png"}
    assert {path.name for path in out.iterdir()} == names
    assert all((out / name).read_bytes()[:4] == b"\x89PNG" for name in names if name.endswith("png"))


def test_arrays_and_tables_are_data(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(5.0, 3.0, size=(60, 3))
    np.save(tmp_path / "points.npy", points)
    np.savetxt(tmp_path / "points.csv", points, delimiter=",", header="a,b,c", comments="")
    for name in ("points.npy", "points.csv"):
        made = train(Order("gan", str(tmp_path / name), "energy", tmp_path / f"run-{name}", SHORT))
        assert made.title == "gan on points by energy"
        assert (made.out / "samples.png").exists()


def test_words_are_encoded_as_compare_does_it(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = [f"{age:.1f},{work},1" for age, work in zip(generator.normal(40, 9, 60), generator.choice(["s", "t"], 60))]
    (tmp_path / "people.csv").write_text("\n".join(["age,work,one", *rows]) + "\n")
    people = _data(str(tmp_path / "people.csv"), 0)
    assert people.train.shape == (48, 4)
    assert people.train[:, 0].std() == pytest.approx(1, rel=1e-6)
    assert people.train[:, 1:3].unique().tolist() == pytest.approx([0, 2**-0.5])
    assert people.test[:, 3].tolist() == [0.0] * 12  # constant


def test_dates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "dates.csv").write_text("a,day\n1,2020-01-01\n2,2020-01-02\n")
    pd.read_csv(tmp_path / "dates.csv", parse_dates=["day"]).to_parquet(tmp_path / "dates.parquet")
    with pytest.raises(ValueError, match="the columns 'day' hold neither numbers nor words; leave them out"):
        _data(str(tmp_path / "dates.parquet"), 0)


def test_models_and_data_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main(monkeypatch) == 0
    models, data = capsys.readouterr().out.splitlines()
    assert models == f"models: {', '.join(RECIPES)}"
    assert data.startswith(f"data: {', '.join(SETS)}, or a file")


def test_names_of_runs_are_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = train(Order("gan", "ring8", "sinkhorn:epsilon=.1", None, SHORT))
    assert made.out == Path("runs/gan-ring8-sinkhorn_epsilon_.1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diffusion"], "unknown model 'diffusion'; known are vae,"),
        (["gan", "--data", "mnist"], "unknown data 'mnist'; give a file or one of"),
        (["gan", "--data", "missing.csv"], "missing.csv: no such file"),
        (["gan", "--divergence", "enrgy"], "unknown divergence 'enrgy'; did you mean energy"),
        (["gan", "--steps", "0"], "steps must be a whole number of at least 1; got 0"),
        (["gan", "--rate", "-1"], "rate must be a positive finite number; got -1"),
        (["gan", "--data", "words.csv"], "words.csv: cells are empty; fill them in"),
        (["gan", "--data", "gaps.npy"], "NaN or infinite values in gaps.npy"),
        (["gan", "--out", "gaps.npy"], "--out gaps.npy is a file; name a directory"),
    ],
)
def test_refusals(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.csv").write_text("a,b\n1,x\n2,\n3,z\n")
    np.save(tmp_path / "gaps.npy", np.array([[1.0, np.nan], [0.0, 1.0]]))
    assert _main(monkeypatch, *arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert not (tmp_path / "runs").exists()


def test_a_run_is_not_overwritten_but_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["gan", "--data", "ring8", "--divergence", "energy", "--batch", "16", "--out", str(tmp_path)]
    assert _main(monkeypatch, *command, "--steps", "2") == 0
    assert _main(monkeypatch, *command, "--steps", "4") == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert _main(monkeypatch, *command, "--steps", "4", "--resume") == 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 4]


class _Events:
    """Stands in for tensorboard's writer."""

    def __init__(self, out: str) -> None:
        self.out, self.found, self.flushed = out, [], 0

    def add_scalar(self, key: str, value: float, step: int) -> None:
        self.found.append((key, step))

    def flush(self) -> None:
        self.flushed += 1


def test_tensorboard_gets_every_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[_Events] = []
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = lambda out: made.append(_Events(out)) or made[0]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    train(Order("gan", "ring8", "energy", tmp_path / "run", SHORT, tensorboard=True))
    assert made[0].out == str(tmp_path / "run")
    assert sorted(made[0].found) == [("loss", 4), ("objective", 0), ("objective", 4)]
    assert made[0].flushed == 2


def test_tensorboard_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert _main(monkeypatch, "gan", "--data", "ring8", "--tensorboard", "--out", str(tmp_path / "run")) == 2
    assert "--tensorboard needs tensorboard: pip install tensorboard; or leave it out." in capsys.readouterr().err
