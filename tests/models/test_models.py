"""The models compute the papers' objectives, take any criterion, and sample what they say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import chisquare
from torch import Size, Tensor, nn
from torch.distributions import Categorical as Law
from torch.distributions import MultivariateNormal, OneHotCategorical
from torch.distributions import Normal as NormalLaw

import divkit as dk
from divkit.critic import Variational
from divkit.fdiv import Adversarial, NonSaturating
from divkit.models import (
    AVB,
    GAN,
    RECIPES,
    VAE,
    WAE,
    GumbelVAE,
    Relaxation,
    Sampler,
    Training,
    build,
    fit,
    gumbel,
    load,
    maximum,
    relaxed,
    straight_through,
)
from divkit.models.data import Data
from divkit.models.likelihoods import Bernoulli, Categorical, Normal
from divkit.models.networks import ConvCritic, ConvGenerator, Critic, decoder, encoder

POINTS = Data("points", *(0.3 * torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) + 1 for n in (256, 64)))

WITH_SLOW_CRITICS = {"wgan": 60, "wgan-gp": 200}  # steps of the papers' own schedules: a generator that outruns them is lost


def plain(x: Tensor, y: Tensor) -> Tensor:
    return ((x.mean(0) - y.mean(0)) ** 2).sum()


@pytest.fixture(autouse=True)
def _seeded() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("divergence", [None, plain, "energy"], ids=["own", "function", "energy"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_model_improves_with_any_criterion(name: str, divergence: Any) -> None:
    model, training = build(name, POINTS, divergence)
    short = Training(steps=40, batch=64, rate=1e-3, critic_batches=2)
    if divergence is None and name in WITH_SLOW_CRITICS:
        short = replace(training, steps=WITH_SLOW_CRITICS[name], batch=64)
    history = fit(model, POINTS.train, short, test=POINTS.test)
    assert history[-1]["objective"] < history[0]["objective"]
    assert model.sample(5).shape == (5, 3)
    assert bool(torch.isfinite(model.sample(5)).all())
    assert training.steps


@pytest.mark.parametrize("name", ["kl", "js", "w2", "sinkhorn", "mmd-imq", "sliced-w2"])
def test_wae_takes_any_divergence(name: str) -> None:
    model, _ = build("wae", POINTS, name)
    history = fit(model, POINTS.train, Training(steps=40, batch=64), test=POINTS.test)
    assert history[-1]["objective"] < history[0]["objective"]


def test_images_train() -> None:
    images = Data("images", *(torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(n)) for n in (64, 16)))
    model, _ = build("gan", images)
    fit(model, images.train, Training(steps=2, batch=16), test=images.test)
    made = model.sample(3)
    assert made.shape == (3, 1, 8, 8)
    assert bool(((made >= 0) & (made <= 1)).all())


def _linear(d: int = 3, latent: int = 2, deviation: float = 0.5) -> tuple[VAE, MultivariateNormal]:
    """A VAE with a linear decoder, whose p(x) is a normal law, and whose encoder is the true posterior."""
    model = VAE(nn.Linear(d, 2 * latent).double(), nn.Linear(latent, d).double(), Normal(deviation), latent)
    weight, bias = model.decoder.weight.detach(), model.decoder.bias.detach()
    precision = torch.eye(latent).double() + weight.T @ weight / deviation**2
    weight.copy_(torch.linalg.qr(weight)[0])  # orthogonal columns: the posterior's covariance is diagonal
    precision = torch.eye(latent).double() * (1 + 1 / deviation**2)
    gain = torch.linalg.solve(precision, weight.T) / deviation**2
    with torch.no_grad():
        model.encoder.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        variance = precision.diagonal().reciprocal()
        model.encoder.bias.copy_(torch.cat([-gain @ bias, variance.log()]))
    law = MultivariateNormal(bias, weight @ weight.T + deviation**2 * torch.eye(d).double())
    return model, law


def test_vae_reaches_the_exact_likelihood_at_the_posterior() -> None:
    model, law = _linear()
    x = law.sample(Size([200]))
    with torch.no_grad():
        losses = torch.stack([model.loss(x) for _ in range(400)])
    mean, error = float(-losses.mean()), float(losses.std()) / 20
    assert abs(mean - float(law.log_prob(x).mean())) < 5 * error  # fails by chance once in 10⁶
    assert torch.allclose(model.log_likelihood(x, 3), law.log_prob(x), atol=1e-9)  # every weight is p(x)


def test_iwae_increases_to_the_likelihood() -> None:
    model, law = _linear()
    with torch.no_grad():
        model.encoder.bias += 0.3
    x = law.sample(Size([500]))
    found = [float(model.log_likelihood(x, k).mean()) for k in (1, 10, 100)]
    exact = float(law.log_prob(x).mean())
    assert found[0] < found[1] < found[2] < exact + 0.02


class _Gaussian(Sampler):
    """A sampler that is a normal law N(m(x), s²): its KL to the prior is known."""

    def __init__(self, mean: Tensor, deviation: float) -> None:
        super().__init__(nn.Identity(), 2)
        self.mean, self.deviation = mean, deviation

    def forward(self, x: Tensor) -> Tensor:
        return self.mean + self.deviation * torch.randn(len(x), 2, dtype=x.dtype)


def test_adaptive_contrast_takes_the_kl_over_for_a_normal_encoder() -> None:
    """The critic has nothing left to tell: KL(q‖p) is the analytic part alone."""
    x, mean, deviation = torch.randn(4000, 1).double(), torch.tensor([1.0, -2.0]).double(), 0.3
    model = AVB(_Gaussian(mean, deviation), nn.Linear(2, 1).double(), Normal(), lambda a, b: a.new_zeros(()), 2, contrast=200)
    with torch.no_grad():
        found = float(model.loss(x) + model.likelihood(x, model.decoder(model.encoder(x))).mean())
    q = NormalLaw(mean, deviation)
    exact = float(torch.distributions.kl_divergence(q, NormalLaw(torch.zeros(2).double(), 1.0)).sum())
    assert found == pytest.approx(exact, abs=0.1)


def test_avb_without_contrast_is_kl_of_joint_samples() -> None:
    seen = []
    model = AVB(Sampler(nn.Linear(4, 2), 3), nn.Linear(2, 1), Normal(), lambda a, b: seen.append((a, b)) or a.sum() * 0, 2)
    x = torch.randn(16, 1)
    model.loss(x)
    (a, b) = seen[0]
    assert a.shape == b.shape == (16, 3)
    assert torch.equal(a[:, :1], x)
    assert torch.equal(b[:, :1], x)
    assert a.requires_grad
    assert not b.requires_grad


def test_gan_and_wae_pass_data_and_codes_first() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def record(a: Tensor, b: Tensor) -> Tensor:
        seen.append((a, b))
        return b.sum() + a.sum()

    x = torch.randn(8, 3)
    GAN(nn.Linear(2, 3), record, 2).loss(x)
    assert torch.equal(seen[0][0], x)
    assert seen[0][1].requires_grad
    model = WAE(nn.Linear(3, 2), nn.Linear(2, 3), record, 2, weight=3.0)
    found = model.loss(x)
    assert torch.equal(seen[1][0], model.encoder(x))
    assert torch.allclose(
        found, (x - model.decoder(model.encoder(x))).square().sum(1).mean() + 3 * (seen[1][0].sum() + seen[1][1].sum())
    )
    assert torch.allclose(
        WAE(model.encoder, model.decoder, record, 2, weight=0.0).loss(x), (x - model.reconstruct(x)).square().sum(1).mean()
    )


def test_the_max_trick_draws_the_category() -> None:
    shares = torch.tensor([0.5, 0.2, 0.2, 0.1]).double()
    logits = shares.log()
    drawn = maximum(logits.expand(20_000, 4), gumbel(torch.empty(20_000, 4).double()))
    assert float(chisquare(drawn.sum(0).numpy(), 20_000 * shares.numpy()).pvalue) > 1e-4
    noise = gumbel(torch.empty(200_000))
    assert abs(float(noise.mean()) - 0.577216) < 5 * math.pi / math.sqrt(6 * 200_000)


def test_relaxed_draws_tend_to_the_max_trick() -> None:
    logits, noise = torch.randn(50, 5), gumbel(torch.empty(50, 5))
    assert torch.allclose(relaxed(logits, noise, 1e-4), maximum(logits, noise), atol=1e-3)
    logits.requires_grad_()
    hard, soft = straight_through(logits, noise, 0.7), relaxed(logits, noise, 0.7)
    assert torch.allclose(hard, maximum(logits, noise))
    weights = torch.randn(50, 5)
    gradients = [torch.autograd.grad((weights * draw).sum(), logits)[0] for draw in (hard, soft)]
    assert torch.allclose(*gradients)


def test_temperature_falls_with_the_steps() -> None:
    model = GumbelVAE(nn.Linear(3, 8), nn.Linear(8, 3), Normal(), 4, Relaxation(first=2.0, least=0.1, rate=0.1))
    model.loss(torch.randn(5, 3))
    assert int(model.steps) == 1
    model.eval()
    model.loss(torch.randn(5, 3))
    assert int(model.steps) == 1
    sharp = [model.relaxation(torch.zeros(2000, 4), step).max(1).values.mean() for step in (0, 10, 100)]
    assert sharp[0] < sharp[1] < sharp[2]


def test_gumbel_vae_likelihood_by_enumeration() -> None:
    model = GumbelVAE(nn.Linear(3, 4), nn.Linear(4, 3), Normal(0.5), 4).eval()
    x = torch.randn(6, 3)
    with torch.no_grad():
        outputs = model.decoder(torch.eye(4))  # one variable of four categories
        exact = torch.logsumexp(torch.stack([model.likelihood(x, out.expand(6, 3)) for out in outputs]), 0) - math.log(4)
        divergence = torch.distributions.kl_divergence(
            OneHotCategorical(logits=model.logits(x)[:, 0]), OneHotCategorical(torch.ones(4))
        )
        elbo = torch.stack([-model.loss(x) for _ in range(300)])
    assert torch.allclose(model.log_likelihood(x, 3000), exact, atol=0.15)
    with torch.no_grad():
        q = Law(logits=model.logits(x)[:, 0]).probs
        each = torch.stack([model.likelihood(x, out.expand(6, 3)) for out in outputs], 1)
        wanted = float(((q * each).sum(1) - divergence).mean())
    assert abs(float(elbo.mean()) - wanted) < 5 * float(elbo.std()) / math.sqrt(300)


def test_likelihoods_are_those_of_torch() -> None:
    x, out = torch.rand(5, 2, 3), torch.randn(5, 2, 3)
    assert torch.allclose(Normal(0.3)(x, out), NormalLaw(out, 0.3).log_prob(x).sum((1, 2)))
    bits = (x > 0.5).float()
    assert torch.allclose(Bernoulli()(bits, out), torch.distributions.Bernoulli(logits=out).log_prob(bits).sum((1, 2)))
    hot, logits = torch.eye(4), torch.randn(4, 4)
    assert torch.allclose(Categorical()(hot, logits), OneHotCategorical(logits=logits).log_prob(hot))
    assert torch.allclose(Categorical().mean(logits).sum(1), torch.ones(4))


@pytest.mark.parametrize("record", [*dk.fdiv.TABLE.values(), dk.fdiv.alpha(0.5)], ids=lambda record: record.name)
def test_the_papers_game_is_the_bound_of_the_record(record: Any) -> None:
    """At the best witness the value is the divergence, at any other it is less, and scores of any size stay finite."""
    p, q = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.2, 0.3, 0.5]).double()
    x, y = dk.Measure(torch.arange(3.0), p), dk.Measure(torch.arange(3.0), q)
    dual, exact = Adversarial(record), float((q * record.f(p / q)).sum())
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    for _ in range(1500):
        optimiser.zero_grad()
        (-dual.ascend(logits, logits, x, y).value(x, y)).backward()
        optimiser.step()
    assert float(dual.ascend(logits, logits, x, y).value(x, y).detach()) == pytest.approx(exact, abs=2e-3)
    far = torch.tensor([-500.0, 0.0, 500.0])
    assert bool(torch.isfinite(dual.ascend(far, far, x, y).value(x, y)))
    assert float(dual.ascend(far, far, x, y).value(x, y)) <= exact


def test_the_log_trick_pulls_from_either_side() -> None:
    """Both games move samples in the same direction; where the critic is sure only the trick's gradient is left."""
    m = dk.Measure(torch.zeros(1, 1))
    for size, alive in ((0.5, True), (20.0, False)):
        for side in (0, 1):
            gradients = []
            for dual in (Adversarial(dk.fdiv.GAN), NonSaturating(dk.fdiv.GAN)):
                scores = [torch.tensor([size]), torch.tensor([-size])]  # the critic knows both sides
                scores[side].requires_grad_()
                gradients.append(float(torch.autograd.grad(dual.descend(*scores, m, m), scores[side])[0]))
            saturating, trick = gradients
            assert trick * (1 if side == 0 else -1) > 0.5
            assert (abs(saturating) > 0.1) is alive


def test_nonsaturating_gradient_is_that_of_reverse_kl_less_two_js() -> None:
    theta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    z = torch.randn(400_000, dtype=torch.float64)
    x = z + theta
    logit = theta.detach() ** 2 / 2 - theta.detach() * x  # D* of N(0, 1) and N(θ, 1), frozen
    loss = NonSaturating(dk.fdiv.GAN).descend(torch.zeros(1).double(), logit, dk.Measure([0.0]), dk.Measure(x.detach()))
    found = float(torch.autograd.grad(loss, theta)[0])

    def objective(t: float) -> float:
        p, q = NormalLaw(torch.tensor(0.0).double(), 1.0), NormalLaw(torch.tensor(t).double(), 1.0)
        return dk.exact("reverse-kl", p, q) - dk.exact("fgan-js", p, q)

    assert found == pytest.approx((objective(1.001) - objective(0.999)) / 0.002, abs=0.005)


def test_networks_fit_their_data() -> None:
    for side in (8, 28, 32):
        shape = Size([1, side, side])
        images = ConvGenerator(5, shape)(torch.randn(3, 5))
        assert images.shape == (3, *shape)
        assert bool(((images >= 0) & (images <= 1)).all())
        assert ConvCritic(shape)(images).shape == (3,)
        assert ConvCritic(shape, outputs=7)(images).shape == (3, 7)
        assert decoder(4, shape)(torch.randn(3, 4)).shape == (3, *shape)
        assert encoder(shape, 4)(images).shape == (3, 4)
    assert Critic(Size([2]), Size([3]))(torch.randn(5, 2), torch.randn(5, 3)).shape == (5,)
    for shape in (Size([1, 7, 7]), Size([1, 8, 10]), Size([64])):
        with pytest.raises(ValueError, match="images of shape"):
            ConvCritic(shape)


def test_dcgan_starts_at_its_deviation() -> None:
    weights = torch.cat([p.flatten() for p in ConvCritic(Size([1, 28, 28])).parameters() if p.ndim > 1])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)


def test_standardised_codes_keep_their_scale_whatever_is_before() -> None:
    """A loss that shrinks codes has nothing to take hold of, and codes that are all the same stay finite."""
    encode = encoder(Size([3]), 2, (16,), standardised=True)
    x = torch.randn(500, 3)
    for factor in (1.0, 0.03):
        with torch.no_grad():
            encode[-2].weight *= factor
        z = encode(x)
        assert torch.allclose(z.mean(0), torch.zeros(2), atol=1e-5)
        assert torch.allclose(z.std(0, correction=0), torch.ones(2), atol=1e-3)
        shrinking = torch.autograd.grad(z.square().mean(), encode[-2].weight)[0]
        assert float((shrinking * encode[-2].weight.detach()).sum().abs()) < 1e-3
    assert bool(torch.isfinite(encode(x[:1].expand(5, 3))).all())


def test_data_sets() -> None:
    digits = load("digits")
    assert digits.images
    assert float(digits.train.max()) == 1.0
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.labels is not None
    assert digits.labels[1].shape == (len(digits.test),)
    assert torch.equal(load("digits", 1).train, load("digits", 1).train)
    assert not torch.equal(load("digits", 1).train[:100], digits.train[:100])
    for name in ("ring8", "grid25", "swiss-roll"):
        assert load(name).train.shape[1:] == (2,)
    with pytest.raises(ValueError, match="unknown data 'mnist'; give a file or one of digits, "):
        load("mnist")
    with pytest.raises(ValueError, match="unknown model 'diffusion'; known are vae, "):
        build("diffusion", digits)


def test_recipes_play_the_papers_game() -> None:
    for name, dual in (("gan", NonSaturating(dk.fdiv.GAN)), ("fgan", NonSaturating(dk.fdiv.TABLE["squared-hellinger"]))):
        criterion = build(name, POINTS)[0].criterion
        assert isinstance(criterion, dk.Criterion)
        assert isinstance(criterion.divergence, Variational)
        assert criterion.divergence.dual == dual
    pearson = build("fgan", POINTS, "pearson")[0].criterion
    assert isinstance(pearson, dk.Criterion)
    assert pearson.divergence.dual == NonSaturating(dk.fdiv.PEARSON)  # type: ignore[attr-defined]
