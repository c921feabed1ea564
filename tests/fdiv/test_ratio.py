"""The logit as a product: new points, reliability, files without code, a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Size, Tensor, nn
from torch.distributions import Normal

import divkit as dk
from divkit.critic import Ascent, Choice, linear, quadratic
from divkit.fdiv import DensityRatio, FittedRatio, density_ratio
from divkit.fdiv.reliability import reliability

P, Q = Normal(1.0, 1.0), Normal(0.0, 1.0)


def drawn(n: int = 1000, m: int = 1200, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return 1 + torch.randn(n, 1, generator=generator), torch.randn(m, 1, generator=generator)


@pytest.fixture(scope="module")
def fitted() -> FittedRatio:
    return density_ratio(*drawn())


def test_the_log_ratio_at_new_points(fitted: FittedRatio) -> None:
    points = torch.linspace(-1, 2, 7)
    assert float((fitted(points) - (points - 0.5)).abs().max()) < 0.3  # truth: x − ½
    assert fitted(points.double()).dtype == torch.float32  # in what it was learnt in


def test_it_is_reliable_on_its_own_held_out_rows_and_on_new_ones(fitted: FittedRatio) -> None:
    """Ten bins within four standard errors: chance alone would fail one run in a thousand."""
    assert fitted.held_out_reliability().worst < 4
    assert fitted.reliability(*drawn(seed=1)).worst < 4
    wrong = DensityRatio(lambda x: 3 * fitted.logit(x))
    assert wrong.reliability(*drawn(seed=1)).worst > 4


def test_the_calibration_plot_takes_and_returns_axes(fitted: FittedRatio) -> None:
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert fitted.held_out_reliability(bins=5).plot(ax) is ax
    assert ax.get_xlabel() == "predicted probability of x"
    assert len(fitted.held_out_reliability(bins=5).plot().containers[0][0].get_xdata()) == 5


def test_tied_logits_share_a_bin_and_empty_bins_are_left_out() -> None:
    s, t = torch.zeros(8), torch.zeros(4)
    shares = reliability(s, t, torch.full((8,), 1 / 8), torch.full((4,), 1 / 4))
    assert shares.predicted.tolist() == shares.observed.tolist() == [0.5]
    with pytest.raises(ValueError, match="bins must be a whole number"):
        reliability(s, t, torch.ones(8), torch.ones(4), bins=0)


def test_any_divergence_is_read_from_it(fitted: FittedRatio) -> None:
    x, y = drawn(seed=2)
    for name, options in (("kl", {}), ("js", {}), ("kl-dv", {}), ("renyi", {"order": 0.5})):
        e = fitted.divergence(name, **options).estimate(x, y)
        truth = dk.exact(name, P, Q, **options)
        assert abs(e.value - truth) < 4 * e.stderr
    with pytest.raises(ValueError, match="'energy' is not read from a log density ratio"):
        fitted.divergence("energy")


def test_a_users_log_densities_are_as_good_as_a_logit() -> None:
    x, y = drawn(seed=3)
    by_densities = DensityRatio.of_log_densities(P.log_prob, Q.log_prob)
    by_logit = DensityRatio(lambda points: points[:, 0] - 0.5)
    assert by_densities.divergence("tv").estimate(x, y).value == pytest.approx(
        by_logit.divergence("tv").estimate(x, y).value, abs=1e-6
    )
    moved = x.clone().requires_grad_()
    by_logit.divergence("kl").loss(moved, y).backward()
    assert torch.allclose(moved.grad, torch.full_like(x, 1 / len(x)))  # of E_P (1 + x − ½)


@pytest.mark.parametrize(
    ("logit", "message"),
    [
        (lambda x: x.repeat(1, 2), "one number per point"),
        (lambda x: x[:, 0] * float("nan"), "NaN for 1000 of 1000"),
        (lambda x: 0.5, "got float"),
    ],
)
def test_a_logit_of_the_wrong_kind_is_refused(logit: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DensityRatio(logit).divergence("kl").estimate(*drawn())  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::divkit.UnreliableEstimate", "ignore::divkit.SaturatedBound")
def test_extreme_logits_are_clipped_and_counted() -> None:
    x, y = drawn()
    for level in (80.0, -80.0, float("inf")):
        for name in dk.fdiv.TABLE:
            e = DensityRatio(lambda p, level=level: torch.full((len(p),), level)).divergence(name).estimate(x, y)
            assert e.notes["clipped_share"] == pytest.approx(1.0)
            assert torch.isfinite(torch.tensor([e.value, e.stderr])).all()


def test_saved_and_loaded_it_is_the_same(fitted: FittedRatio, tmp_path: Path) -> None:
    points = torch.linspace(-2, 3, 11)
    fitted.save(tmp_path / "ratio.pt")
    again = FittedRatio.load(tmp_path / "ratio.pt")
    assert torch.equal(again(points), fitted(points))
    assert again.held_out_reliability().worst == fitted.held_out_reliability().worst
    x, y = drawn()
    judged = [dk.get("js").estimate(x, y, solution=ratio.solution).value for ratio in (fitted, again)]
    assert judged[0] == judged[1]
    assert [path.name for path in tmp_path.iterdir()] == ["ratio.pt"]
    assert "pickle" not in str(torch.load(tmp_path / "ratio.pt", weights_only=True).keys())


class Own(nn.Module):
    def __init__(self, shape: Size) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.numel(), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


def test_files_are_refused_in_words(fitted: FittedRatio, tmp_path: Path) -> None:
    own = density_ratio(*drawn(100, 100), critic=Own, ascent=Ascent(folds=2, steps=25))
    own.save(tmp_path / "own.pt")
    with pytest.raises(ValueError, match="trained with 'Own', which divkit does not know; give critic="):
        FittedRatio.load(tmp_path / "own.pt")
    assert torch.equal(FittedRatio.load(tmp_path / "own.pt", critic=Own)(torch.zeros(1)), own(torch.zeros(1)))
    chosen = density_ratio(*drawn(100, 100), critic=Choice(linear, quadratic), ascent=Ascent(folds=2))
    chosen.save(tmp_path / "chosen.pt")
    assert torch.equal(FittedRatio.load(tmp_path / "chosen.pt")(torch.zeros(1)), chosen(torch.zeros(1)))
    whole = (tmp_path / "own.pt").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a file of ours"):
        (tmp_path / "bad.pt").write_bytes(content)
        with pytest.raises(ValueError, match="no density ratio saved by divkit, or is damaged"):
            FittedRatio.load(tmp_path / "bad.pt")
    torch.save({**torch.load(tmp_path / "own.pt", weights_only=True), "format": 9}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="format 9; this version of divkit reads 1"):
        FittedRatio.load(tmp_path / "bad.pt")
    with pytest.raises(FileNotFoundError):
        FittedRatio.load(tmp_path / "absent.pt")
    with pytest.raises(ValueError, match=r"learnt for points of shape \(1,\); got \(2,\)"):
        fitted(torch.zeros(3, 2))
