"""Critics over actions: they get what is executed, and the actor's gradient passes the decoder."""

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from parrot_wrapper import ActionChunking, BehavioralPriorVecWrapper, BehavioralPriorWrapper
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, ParrotError
from parrot_wrapper.priors.mixtures.broad import BroadMixture
from parrot_wrapper.rl.action_critic import ActionCriticSAC
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.types import ObservationSpec
from tests.helpers import AffinePrior, EchoEnv
from tests.small_priors import KINDS as EVERY_KIND
from tests.small_priors import make_prior

SEEN = ObservationSpec(state=4)
STEP = 2e-3
KINDS = [kind for kind in EVERY_KIND if kind not in ("features", "skill")]
"""All but features, which make no actions, and skills, which are decoded for newer observations."""


def random_prior(kind: str) -> Any:
    """Untrained ones do not look at what they see."""
    prior = make_prior(kind, "state", SEEN)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in prior.parameters():
            weights.copy_(0.2 * torch.randn(weights.shape, generator=generator))
    return prior


def wrapped(prior: Any, **options: Any) -> Any:
    env = EchoEnv(obs="state", action_dim=prior.action_dim)
    return BehavioralPriorWrapper(env, prior, **{"observation": "features", **options})


def model_over(env: Any, policy: str = "MlpPolicy", **options: Any) -> ActionCriticSAC:
    kwargs = {"net_arch": [16], "activation_fn": torch.nn.Tanh}
    small = {"buffer_size": 60, "learning_starts": 10, "batch_size": 8, "policy_kwargs": kwargs}
    return ActionCriticSAC(policy, env, seed=0, device="cpu", **{**small, **options})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chart", ["gaussian", "truncated:0.1", "box:2.0"])
def test_they_get_what_is_executed_and_its_gradient(kind: str, chart: str) -> None:
    prior = random_prior(kind)
    env = wrapped(prior, latent=chart)
    model = model_over(env)
    seen, _ = env.reset(seed=1)
    u = env.action_space.sample()
    *_, info = env.step(u)
    made = model.critic.executed(torch.from_numpy(seen[None]), torch.from_numpy(u[None]))
    # the box is -1 ... 1, and what is beyond it is clipped in both
    np.testing.assert_allclose(made[0], info["parrot/action"].ravel(), atol=1e-6)
    assert model.critic.q_networks[0][0].in_features == prior.feature_dim + made.shape[1]

    observed = torch.randn(6, prior.feature_dim, generator=torch.Generator().manual_seed(0))
    bias = model.actor.mu.bias
    # of the actor's own weights, and so through tanh, chart, decoder and critics
    gradient = torch.autograd.grad(value(model, observed), bias)[0]
    assert gradient.abs().max() > 1e-4
    for index in range(len(bias)):
        values = []
        for step in (STEP, -STEP):
            with torch.no_grad():
                bias[index] += step
                values.append(value(model, observed).item())
                bias[index] -= step
        difference = (values[0] - values[1]) / (2 * STEP)
        assert gradient[index].item() == pytest.approx(difference, abs=1e-4, rel=2e-2)


def value(model: SAC, observed: torch.Tensor) -> torch.Tensor:
    """What SB3's actor climbs, but for the entropy."""
    return model.critic(observed, model.actor(observed, deterministic=True))[0].sum()


@pytest.mark.parametrize("observation", ["features", "both"])
@pytest.mark.parametrize("kind", ["flow", "chunk"])
def test_vector_envs_saving_and_loading(tmp_path, kind: str, observation: str) -> None:
    prior = random_prior(kind)

    def one() -> Any:
        env = EchoEnv(obs="state", action_dim=1)
        return env if prior.horizon == 1 else ActionChunking(env, prior.horizon)

    venv = BehavioralPriorVecWrapper(DummyVecEnv([one] * 2), prior, observation=observation)
    policy = "MlpPolicy" if observation == "features" else "MultiInputPolicy"
    model = model_over(venv, policy)
    before = [weights.clone() for weights in model.policy.parameters()]
    model.learn(30)
    changed = [
        not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True)
    ]
    assert all(changed)
    model.save(tmp_path / "model.zip")
    loaded = ActionCriticSAC.load(tmp_path / "model.zip", env=venv, device="cpu")
    seen = venv.reset()
    np.testing.assert_array_equal(
        *(m.predict(seen, deterministic=True)[0] for m in (model, loaded))
    )
    assert loaded.learn(20).num_timesteps > 0
    alone = ActionCriticSAC.load(tmp_path / "model.zip", device="cpu")
    alone.predict(seen)
    stock = SAC.load(tmp_path / "model.zip", device="cpu")
    np.testing.assert_array_equal(*(m.predict(seen, deterministic=True)[0] for m in (model, stock)))
    u = torch.zeros(2, prior.latent_dim)
    with pytest.raises(InvalidArgumentError, match="set_env"):
        alone.critic(stock.policy.obs_to_tensor(seen)[0], u)
    alone.set_env(venv)
    assert alone.learn(20).num_timesteps > 0


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda: wrapped(AffinePrior(SEEN, action_dim=1)), NotOfferedError, "AffinePrior"),
        (lambda: wrapped(BroadMixture(random_prior("flow"))), NotOfferedError, "BroadMixture"),
        (lambda: wrapped(random_prior("skill")), NotOfferedError, "newest observation"),
        (lambda: wrapped(random_prior("chunk").replanned()), NotOfferedError, "open loop"),
        (lambda: wrapped(random_prior("flow"), observation="image"), InvalidArgumentError, "both"),
        (lambda: EchoEnv(obs="state"), InvalidArgumentError, "BehavioralPriorWrapper"),
        (
            lambda: VecNormalize(DummyVecEnv([lambda: wrapped(random_prior("flow"))])),
            InvalidArgumentError,
            "norm_obs=False",
        ),
    ],
)
def test_where_they_cannot_be(make: Any, error: type[ParrotError], told: str) -> None:
    with pytest.raises(error, match=told):
        model_over(make())


@pytest.mark.parametrize(
    "settings",
    [{"prior": None}, {"prior": "p", "raw_actions": True}, {"prior": "p", "observation": "image"}],
)
def test_settings_without_latents_or_features(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="critic='actions'"):
        RLConfig("x", critic="actions", **settings)
