"""Cross-fitted critics: who judges whom, what is learnt, what is refused."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Exponential, Laplace, Normal

import divkit as dk
from divkit.critic import Ascent, Variational
from divkit.critic.ascent import Task, ascend, score
from divkit.critic.logit_network import LogitNetwork
from divkit.critic.networks import restore
from divkit.critic.penalties import FREE
from divkit.critic.splits import of_training
from divkit.data.measure import pair
from divkit.fdiv import GAN, KL, PEARSON, Bound


def shifted(
    n: int, m: int, shift: float = 1.0, d: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=dtype)
    x[:, 0] += shift
    return x, torch.randn(m, d, generator=generator, dtype=dtype)


def solved(divergence: dk.Divergence, x: Tensor, y: Tensor) -> dk.Solution:
    with torch.no_grad():
        return divergence.solve(*pair(x, y))


def test_every_row_is_judged_by_a_critic_that_did_not_see_it() -> None:
    x, y = shifted(100, 120)
    divergence = dk.get("kl")
    solution = solved(divergence, x, y)
    moved = x.clone()
    moved[solution.state["fold_x"] == 2] += 10.0  # critic 2 must not notice
    again = solved(divergence, moved, y)
    for k in range(5):
        same = all(torch.equal(a, b) for a, b in zip(solution.state["critics"][k].values(), again.state["critics"][k].values()))
        assert same == (k == 2)
    p, _ = pair(x, y)
    rows = solution.state["fold_x"] == 2
    alone = restore(divergence.critic, p, solution.state["critics"][2])(x[rows]).detach()
    slope, shift, low, high = solution.state["calibration"][2].tolist()
    assert torch.equal(divergence.scores(p, solution, "x")[rows], (slope * alone + shift).clamp(low, high))


def test_what_trainings_differ_by_is_part_of_the_error() -> None:
    """Beside the error of the influences given the critics: that of a mean of K numbers, correlated for critics."""
    assert of_training([1.0, 2.0, 3.0, 6.0], stable=False) == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)
    assert of_training([1.0], stable=True) == 0.0
    generator = np.random.default_rng(0)
    parts = generator.standard_normal((20_000, 5))
    values = (parts.sum(1, keepdims=True) - parts) ** 2  # of the square of a sum over all folds but one
    squares = [of_training(row, stable=True) ** 2 for row in values[:4000].tolist()]
    assert np.mean(squares) == pytest.approx(values.mean(1).var(), rel=0.1)
    x, y = shifted(200, 250, d=2)
    for name in ("tv", "tv-classifier"):
        e = dk.get(name).estimate(x, y)
        given = sum(float(a.double().var() / len(a)) for a in e.influence) ** 0.5
        assert e.notes["stderr_of_training"] > 0
        assert e.stderr == pytest.approx(np.hypot(given, e.notes["stderr_of_training"]))
    assert e.notes["stderr_of_training"] < given


def test_an_arbitrary_start_is_no_candidate() -> None:
    """Held-out rows that contradict the training rows: without doubt the trained critic is kept, with doubt the start."""
    x, y = shifted(100, 100)
    fit, held = pair(x + 1.0, y), pair(y, x + 1.0)
    task = Task(Bound(GAN).ascend, FREE, lambda network, y: lambda m: score(network, m))
    for doubt, trained in ((0.0, True), (1.0, False)):
        network = LogitNetwork(torch.Size([1]))
        start = {key: value.clone() for key, value in network.state_dict().items()}
        ascend(network, task, fit, held, Ascent(steps=25, doubt=doubt), 0)
        assert trained != all(torch.equal(value, start[key]) for key, value in network.state_dict().items())


def test_one_logit_serves_the_whole_table() -> None:
    assert dk.get("kl").problem == dk.get("js").problem == dk.get("alpha", order=0.5).problem
    assert hash(dk.get("kl").problem) == hash(dk.get("tv").problem)
    assert dk.get("kl").problem != Variational(Bound(KL, train=KL)).problem
    assert dk.get("kl").problem != dk.get("kl", seed=1).problem


PAIRS = {
    "gaussian": (Normal(1.0, 1.0), Normal(0.0, 1.0)),
    "laplace": (Laplace(1.0, 1.0), Laplace(0.0, 1.0)),
    "exponential": (Exponential(2.0), Exponential(1.5)),
    "scale": (Normal(0.0, 1.0), Normal(0.0, 1.5)),
}


@pytest.fixture(scope="module")
def logits() -> dict[str, tuple[Tensor, Tensor, dk.Solution]]:
    """One solved pair of samples for each pair of laws."""
    found = {}
    for name, (p, q) in PAIRS.items():
        torch.manual_seed(1)
        x, y = p.sample((2000, 1)), q.sample((2500, 1))
        found[name] = x, y, solved(dk.get("kl"), x, y)
    return found


@pytest.mark.parametrize("laws", PAIRS)
@pytest.mark.parametrize(
    "name", ["kl", "reverse-kl", "js", "fgan-js", "squared-hellinger", "jeffreys", "le-cam", "tv", "gan", "lin-k"]
)
def test_estimates_are_within_their_error_of_the_truth(
    name: str, laws: str, logits: dict[str, tuple[Tensor, Tensor, dk.Solution]]
) -> None:
    """Forty values within four standard errors and 3 %: chance alone would fail one run in some hundreds."""
    x, y, solution = logits[laws]
    e = dk.get(name).estimate(x, y, solution=solution)
    truth = dk.exact(name, *PAIRS[laws])
    assert e.stderr > 0
    assert abs(e.value - truth) < 4 * e.stderr + 0.03 * abs(truth)
    assert e.converged


@pytest.mark.parametrize("name", ["pearson", "neyman"])
def test_chi_squared_of_close_laws(name: str) -> None:
    x, y = shifted(2000, 2000, 0.5)
    e = dk.get(name).estimate(x, y)
    assert abs(e.value - dk.exact(name, Normal(0.5, 1.0), Normal(0.0, 1.0))) < 4 * e.stderr + 0.02


def test_training_in_the_evaluated_records_own_bound() -> None:
    """f-GAN's way: the logit trained by the bound that it reports, here from another start and for two records."""
    x, y = shifted(1500, 1500, 0.7)
    for record in (KL, PEARSON):
        e = Variational(Bound(record, train=record)).estimate(x, y)
        assert abs(e.value - dk.exact(record.name, Normal(0.7, 1.0), Normal(0.0, 1.0))) < 4 * e.stderr + 0.05


def test_weights_are_importance_weights() -> None:
    """A sample of N(0, 1) weighted to N(½, 1) is at the KL of N(½, 1)."""
    x, y = shifted(4000, 4000, 0.0)
    weights = torch.exp(0.5 * x[:, 0] - 0.125)
    e = dk.estimate("kl", x, y, weights_x=weights)
    assert abs(e.value - 0.125) < 4 * e.stderr
    assert e.value > 3 * e.stderr


def test_gradient_in_points_is_that_of_finite_differences() -> None:
    x, y = shifted(60, 70, 1.0, 2, dtype=torch.float64)
    for name in ("kl", "js", "tv", "pearson"):
        divergence = dk.get(name)
        solution = solved(divergence, x, y)
        px, py, moves = x.clone().requires_grad_(), y.clone().requires_grad_(), (torch.randn_like(x), torch.randn_like(y))
        gx, gy = torch.autograd.grad(divergence.loss(px, py, solution), (px, py))
        up, down = (float(divergence.loss(x + t * moves[0], y + t * moves[1], solution)) for t in (1e-6, -1e-6))
        assert float((gx * moves[0]).sum() + (gy * moves[1]).sum()) == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-8)


def test_the_same_seed_gives_the_same_number() -> None:
    x, y = shifted(80, 90)
    assert dk.get("kl").estimate(x, y).value == dk.get("kl").estimate(x, y).value
    assert dk.get("kl").estimate(x, y).value != dk.get("kl", seed=1).estimate(x, y).value


def test_one_step_is_not_convergence() -> None:
    x, y = shifted(80, 90)
    with pytest.warns(dk.ConvergenceWarning, match="step limit"):
        e = dk.get("kl", steps=1).estimate(x, y)
    assert not e.converged


def test_disjoint_samples_saturate_and_say_so() -> None:
    x, y = torch.rand(200, 1), 10 + torch.rand(200, 1)
    with pytest.warns(dk.SaturatedBound, match="far above"):
        e = dk.get("kl").estimate(x, y)
    assert 2 < e.value < float("inf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dk.get("tv").estimate(x, y).value == pytest.approx(1.0, abs=1e-12)  # bounded: nothing to warn of


def test_a_users_critic_and_a_joint_sample() -> None:
    class Product(nn.Module):
        def __init__(self, left: torch.Size, right: torch.Size) -> None:
            super().__init__()
            assert (tuple(left), tuple(right)) == ((1,), (2, 1))
            self.weight = nn.Parameter(torch.zeros(4))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            a, b = a[:, 0], b[:, 0, 0]
            return torch.stack([torch.ones_like(a), a * b, a.square(), b.square()], 1) @ self.weight

    generator = torch.Generator().manual_seed(0)
    a, b, c = (torch.randn(1000, 1, generator=generator) for _ in range(3))
    correlated = (a, torch.stack([0.8 * a + 0.6 * b, c], 1))
    independent = (a, torch.stack([b, c], 1))
    e = Variational(Bound(KL), critic=Product, ascent=Ascent(rate=0.03)).estimate(correlated, independent)
    assert abs(e.value + 0.5 * np.log(1 - 0.8**2)) < 4 * e.stderr


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x, w: torch.stack([x[:, 0], x[:, 0]], 1) * w, "one number per point"),
        (lambda x, w: x[:, 0] * w * float("nan"), "NaN or infinity"),
        (lambda x, w: (x[:, 0] * w).detach(), "no gradient"),
    ],
)
def test_a_critic_of_the_wrong_kind_is_refused_before_training(output: object, message: str) -> None:
    class Wrong(nn.Module):
        def __init__(self, shape: torch.Size) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return output(x, self.weight)  # type: ignore[operator]

    with pytest.raises(ValueError, match=message):
        Variational(Bound(KL), critic=Wrong).estimate(*shifted(40, 40))


def test_too_few_rows_or_weight_are_refused() -> None:
    x, y = shifted(9, 40)
    with pytest.raises(ValueError, match="minimum of 10 is required: 5-fold"):
        dk.estimate("kl", x, y)
    with pytest.raises(ValueError, match="minimum of 10 is required: testing a trained critic"):
        dk.test("kl", x, y, permutations=9)
    x, y = shifted(40, 40)
    with pytest.raises(ValueError, match="without mass"):
        dk.estimate("kl", x, y, weights_x=torch.eye(40)[0])


@pytest.mark.parametrize("fields", [{"folds": 1}, {"steps": 0}, {"rate": -1.0}, {"held": 1.0}, {"batch": 1.5}, {"patience": 0}])
def test_ascent_refuses_what_it_cannot_do(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Ascent(**fields)


def test_diverging_training_keeps_the_last_finite_state() -> None:
    x, y = shifted(100, 100)
    wild = Variational(Bound(KL, train=KL), critic=Steep, ascent=Ascent(rate=1e6, folds=2, steps=200))
    with pytest.warns(Warning) as caught:
        e = wild.estimate(x, y)
    assert {w.category.__name__ for w in caught} & {"TrainingDiverged", "ConvergenceWarning"}
    assert not e.converged
    assert torch.isfinite(torch.tensor(e.value))


class Steep(nn.Module):
    """A critic whose scores explode with its weight."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(self.weight.square()) * self.weight * x[:, 0]


def test_p_values_of_a_trained_critic_hold_their_level_and_have_power() -> None:
    """Thirty tests at P = Q: more than six below .1 would happen once in a hundred and fifty runs."""
    quick = replace(dk.get("js"), ascent=Ascent(steps=25))
    below = sum(dk.test(quick, *shifted(40, 40, 0.0, seed=seed), permutations=39).pvalue < 0.1 for seed in range(30))
    assert below <= 6
    assert dk.test(quick, *shifted(60, 60, 2.0), permutations=99).pvalue == 0.01


def test_relabellings_depend_on_the_tests_seed_and_not_on_its_batches() -> None:
    quick = replace(dk.get("js"), ascent=Ascent(steps=25))
    x, y = (s.double() for s in shifted(30, 30))
    pooled = dk.Measure(x).cat(dk.Measure(y))
    labels = torch.rand(7, 60, generator=torch.Generator().manual_seed(3)).argsort(1) < 30
    labels[0] = torch.arange(60) < 30
    whole = quick.null(pooled, labels)
    parts = quick.null(pooled, labels[[0, 4, 5]])
    assert torch.equal(whole[[0, 4, 5]], parts)
    assert len(whole.unique()) == 7


@pytest.mark.parametrize("name", ["js", "kl", "gan", "squared-hellinger"])
def test_a_model_learns_by_a_critic_kept_warm(name: str) -> None:
    """A location model under an adversarial loss finds the data's mean."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([mean], lr=0.05)
    criterion = dk.Criterion(name)
    for _ in range(150):
        x = torch.randn(128, 2, generator=generator) + torch.tensor([1.0, -1.0])
        y = mean + torch.randn(128, 2, generator=generator)
        with criterion.ascending():
            criterion(x, y.detach())
        optimiser.zero_grad()
        criterion(x, y).backward()
        optimiser.step()
    assert torch.allclose(mean.detach(), torch.tensor([1.0, -1.0]), atol=0.35)


def test_gan_is_the_default_training_record() -> None:
    assert dk.get("kl").dual == Bound(KL, train=GAN)


def test_squares_are_found_where_likelihood_or_other_rows_speak_for_them() -> None:
    """Of 20 starts: at a tenth less scale nearly all bend, at equal laws few; a held-out fifth alone misses half."""

    def bent(scale: float, seed: int) -> bool:
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(3200, 1, generator=generator), 0.2 + scale * torch.randn(3200, 1, generator=generator)
        sides = [tuple(dk.Measure(part) for part in parts) for parts in ((x[:2560], y[:2560]), (x[2560:], y[2560:]))]
        network = LogitNetwork(x.shape[1:])
        network.start(*sides)
        return bool(network.theta[2] != 0)

    assert sum(bent(0.9, seed) for seed in range(20)) >= 17
    assert sum(bent(1.0, seed) for seed in range(20)) <= 7


@pytest.mark.parametrize("name", ["kl", "js"])
@pytest.mark.parametrize("exponent", [-1000, -550, 520, 1000])
def test_no_scale_of_the_data_is_too_large_or_small(name: str, exponent: int) -> None:
    x, y = shifted(200, 150, dtype=torch.float64, d=2)
    scale = 2.0**exponent
    assert dk.estimate(name, scale * x, scale * y).value == dk.estimate(name, x, y).value
