"""Stock SAC in a latent space: it learns, logs, checkpoints and resumes exactly."""

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from parrot_wrapper import FlowPrior, FlowPriorConfig
from parrot_wrapper.errors import CheckpointError, InvalidArgumentError, UnknownNameError
from parrot_wrapper.rl import train as rl_train
from parrot_wrapper.rl.callbacks import kl_nats
from parrot_wrapper.rl.checkpoint import list_checkpoints, read_header
from parrot_wrapper.rl.config import RawActions, RLConfig, preset_config
from parrot_wrapper.rl.evaluation import evaluate_run, load_agent
from parrot_wrapper.rl.logs import STEP_KEY, cut_log, read_episodes, read_log, training_seconds
from parrot_wrapper.rl.model import build_model, skip_unused_gradients, wrap_env
from parrot_wrapper.rl.normed_activation import LayerNormReLU
from parrot_wrapper.rl.replay.buffers import replay_arrays
from parrot_wrapper.rl.replay.settings import DemonstrationReplay, RewardedReplay, UniformReplay
from parrot_wrapper.rl.train import read_config
from tests.helpers import SPECS, AffinePrior, EchoEnv
from tests.training.toy_rl import STATE, ReachEnv, toy_config, toy_train

DEMOS = {"replay": DemonstrationReplay("there")}


def test_sac_learns_a_toy_task_through_the_latent(tmp_path: Path) -> None:
    config = toy_config(total_steps=800, learning_starts=200, learning_rate=3e-3, kl=4.0)
    prior = AffinePrior(STATE, scale=0.5)
    model = toy_train(config, tmp_path, prior=prior)
    assert model.target_entropy == pytest.approx(2 * math.log(2.0) - 4.0)
    result = evaluate_run(tmp_path, make_env=lambda *_: ReachEnv(), prior=prior, episodes=20)
    assert result.success.value >= 0.9
    stored = json.loads((tmp_path / "evaluation.json").read_text())
    assert stored["success"]["value"] == result.success.value
    assert stored["env_steps"] == 800
    assert [row["seed"] for row in stored["rows"]] == list(range(1_000_000, 1_000_020))


def test_log_has_success_kl_and_clipping(tmp_path: Path) -> None:
    toy_train(toy_config(total_steps=600, checkpoint_every=0), tmp_path)
    rows = read_log(tmp_path / "log.jsonl")
    assert {"rollout/success_rate", "rollout/success_once", "parrot/clipped"} <= set(rows[-1])
    [kl] = [row["parrot/kl_to_prior"] for row in rows if "parrot/kl_to_prior" in row]
    assert 0.0 < kl < 20.0
    assert list((tmp_path / "tensorboard").glob("events.*"))
    assert (tmp_path / "model.zip").is_file()
    assert SAC.load(tmp_path / "model.zip", device="cpu").num_timesteps == 600


def test_the_budget_goes_by_the_dimensions_of_actions() -> None:
    for settings, nats in (({}, 5.0 * 2 / 7), ({"kl": 3.0}, 3.0)):
        config = toy_config(**settings)
        model = build_model(config, wrap_env(ReachEnv(), config, AffinePrior(STATE)))
        assert model.target_entropy == pytest.approx(2 * np.log(2.0) - nats)
    assert RLConfig("x", prior="parrot-v0").kl_budget(7) == 5.0


def test_untrained_actor_starts_at_the_prior() -> None:
    """Mean 0 and std 1 before the tanh is 0.023 nats a dimension from uniform."""
    model = build_model(toy_config(), wrap_env(ReachEnv(), toy_config(), AffinePrior(STATE)))
    with torch.no_grad():
        for layer in (model.actor.mu, model.actor.log_std):
            layer.weight.zero_()
            layer.bias.zero_()
    buffer = model.replay_buffer
    buffer.pos = buffer.buffer_size  # zeros are observations as good as any here
    before = torch.get_rng_state()
    estimates = [kl_nats(model, seed=seed) for seed in range(100)]
    assert np.mean(estimates) == pytest.approx(2 * 0.0233, abs=0.02)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "horizon"),
    [
        ({}, 1),
        ({"target_update_interval": 7, "tau": 1.0}, 1),
        ({}, 3),
        ({"raw_actions": RawActions(explore=0.5)}, 1),
        ({"replay": RewardedReplay(0.5), "first_rewards": 2}, 1),
        ({"critic": "actions"}, 1),
        ({"n_critics": 3, "kl_warmup": 100}, 1),
    ],
)
def test_resumed_run_equals_an_unbroken_one(
    tmp_path: Path, settings: dict[str, Any], horizon: int
) -> None:
    prior = AffinePrior(STATE, horizon=horizon)
    if "critic" in settings:
        prior = FlowPrior(FlowPriorConfig(STATE, action_dim=2, encoder="state", hidden=8))
    whole = toy_train(toy_config(**settings), tmp_path / "whole", prior=prior)

    class Killed(Exception):
        pass

    class DyingEnv(ReachEnv):
        steps = 0

        def step(self, action: Any) -> Any:
            DyingEnv.steps += 1
            if DyingEnv.steps > 77:
                raise Killed
            return super().step(action)

    config = toy_config(**settings)
    with pytest.raises(Killed):
        toy_train(config, tmp_path / "broken", make_env=lambda *_: DyingEnv(), prior=prior)
    [checkpoint] = list_checkpoints(tmp_path / "broken" / "checkpoints")
    assert read_header(checkpoint)["step"] == 60
    assert read_header(checkpoint)["at_episode_start"] is True
    resumed = toy_train(config, tmp_path / "broken", prior=prior)

    assert resumed.num_timesteps == whole.num_timesteps == 120
    assert resumed._n_updates == whole._n_updates
    assert torch.equal(resumed.log_ent_coef, whole.log_ent_coef)
    for ours, theirs in zip(
        resumed.policy.state_dict().values(), whole.policy.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
    states = [m.critic.optimizer.state_dict()["state"][0] for m in (resumed, whole)]
    assert torch.equal(states[0]["exp_avg_sq"], states[1]["exp_avg_sq"])
    arrays = [replay_arrays(model.replay_buffer) for model in (resumed, whole)]
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name])
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("broken", "whole")]
    clock = ("time/fps", "time/time_elapsed", "parrot/clipped", "rollout/success_once")
    assert [{k: v for k, v in row.items() if k not in clock} for row in logs[0]] == [
        {k: v for k, v in row.items() if k not in clock} for row in logs[1]
    ]
    episodes = [read_episodes(tmp_path / name) for name in ("broken", "whole")]
    assert episodes[0] == episodes[1]
    assert [row["env_steps"] for row in episodes[0]] == list(range(5, 121, 5))


def test_episodes_and_seconds_are_kept(tmp_path: Path) -> None:
    class TwiceEnv(ReachEnv):
        """Success on the third step of every other episode only."""

        episode = -1

        def reset(self, **options: Any) -> Any:
            self.episode += 1
            return super().reset(**options)

        def step(self, action: Any) -> Any:
            seen, _, terminated, truncated, _ = super().step(action)
            success = self.taken == 3 and self.episode % 2 == 0
            return seen, float(success), terminated, truncated, {"is_success": success}

    with pytest.raises(CheckpointError, match="found none yet"):
        training_seconds(tmp_path)
    assert read_episodes(tmp_path) == []
    toy_train(toy_config(total_steps=12), tmp_path, make_env=lambda *_: TwiceEnv())
    rows = [
        {"env_steps": 5, "success": False, "success_once": True, "return": 1.0},
        {"env_steps": 10, "success": False, "success_once": False, "return": 0.0},
    ]
    assert read_episodes(tmp_path) == rows
    seconds = training_seconds(tmp_path)
    assert 0.0 < seconds < 60.0
    with (tmp_path / "episodes.jsonl").open("a") as stream:
        stream.write('{"env_steps": 15, "success"')  # a killed part's
    toy_train(toy_config(total_steps=20), tmp_path, make_env=lambda *_: TwiceEnv())
    # The episode that the first part broke off is none; the second part began with the next one.
    assert [row["env_steps"] for row in read_episodes(tmp_path)] == [5, 10, 17]
    assert training_seconds(tmp_path) > seconds


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_saved_where_an_episode_begins(tmp_path: Path, number: int) -> None:
    class InterruptingEnv(ReachEnv):
        steps = 0

        def step(self, action: Any) -> Any:
            InterruptingEnv.steps += 1
            if InterruptingEnv.steps == 77:
                signal.raise_signal(number)
            return super().step(action)

    config = toy_config(checkpoint_every=0)
    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        toy_train(config, tmp_path / "broken", make_env=lambda *_: InterruptingEnv())
    assert signal.getsignal(number) is handler
    [checkpoint] = list_checkpoints(tmp_path / "broken" / "checkpoints")
    assert read_header(checkpoint)["step"] == 80
    assert read_header(checkpoint)["at_episode_start"] is True
    resumed = toy_train(config, tmp_path / "broken")
    whole = toy_train(config, tmp_path / "whole")
    for ours, theirs in zip(
        resumed.policy.state_dict().values(), whole.policy.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_finished_run_can_be_lengthened_but_not_changed(tmp_path: Path) -> None:
    first = toy_train(toy_config(total_steps=60), tmp_path)
    assert first.num_timesteps == 60
    longer = toy_train(toy_config(total_steps=90), tmp_path)
    assert longer.num_timesteps == 90
    assert longer.replay_buffer.size() == 90
    assert read_config(tmp_path).total_steps == 90
    with pytest.raises(InvalidArgumentError, match=r"other settings \(gamma: 0.95 there, 0.5"):
        toy_train(toy_config(gamma=0.5), tmp_path)


def test_damaged_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    config = toy_config(total_steps=60)
    toy_train(config, tmp_path)
    [checkpoint] = list_checkpoints(tmp_path / "checkpoints")
    replay, header = checkpoint / "replay.safetensors", checkpoint / "checkpoint.json"
    whole, text = replay.read_bytes(), header.read_text()
    replay.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=r"replay\.safetensors: truncated or altered"):
        toy_train(config, tmp_path)
    replay.write_bytes(whole)
    header.write_text(text.replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(CheckpointError, match="version 2 is newer than 1"):
        toy_train(config, tmp_path)
    header.write_text("{}")
    with pytest.raises(CheckpointError, match="foreign"):
        toy_train(config, tmp_path)
    header.write_text(text[:10])
    with pytest.raises(CheckpointError, match=r"checkpoint\.json"):
        toy_train(config, tmp_path)
    with pytest.raises(CheckpointError, match="settings of an RL run"):
        load_agent(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("obs", "settings", "policy"),
    [
        ("hwc", {}, "MlpPolicy"),
        ("hwc", {"observation": "image", "convolutions": "paper"}, "CnnPolicy"),
        ("hwc", {"observation": "both", "replay": RewardedReplay(0.5)}, "MultiInputPolicy"),
        ("hwc", {"raw_actions": True}, "MlpPolicy"),
        ("dict", {"observation": "image"}, "MultiInputPolicy"),
        ("state", {"prior": None}, "MlpPolicy"),
        ("hwc", {"prior": None, "replay": UniformReplay(n_steps=3)}, "CnnPolicy"),
    ],
)
def test_every_observation_trains_and_resumes(
    tmp_path: Path, obs: str, settings: dict[str, Any], policy: str
) -> None:
    config = toy_config(total_steps=20, learning_starts=10, batch_size=4, **settings)
    prior = AffinePrior(SPECS[obs])
    options = {"make_env": lambda *_: EchoEnv(obs), "prior": prior}
    model = toy_train(config, tmp_path, **options)
    assert type(model.policy).__name__ in (policy, "SACPolicy")
    raw = settings.get("raw_actions", False) or config.prior is None
    assert model.target_entropy == pytest.approx(-2.0 if raw else 2 * math.log(2.0) - 10 / 7)
    assert toy_train(config, tmp_path, **options).num_timesteps == 20
    agent, env = load_agent(tmp_path, make_env=lambda *_: EchoEnv(obs), prior=prior)
    observation, _ = env.reset(seed=0)
    assert agent.predict(observation, deterministic=True)[0].shape == (2,)


def test_paper_preset_is_table_one() -> None:
    config = preset_config("paper", env_id="Toy-v0", prior="toy", net_arch=(8,))
    assert (config.gamma, config.tau, config.target_update_interval) == (0.99, 1.0, 1000)
    env = wrap_env(EchoEnv(), config, AffinePrior())
    model = build_model(config, env)
    assert model.target_entropy == -2.0
    assert model.actor.features_extractor.features_dim == 16 * 10 * 11
    with pytest.raises(UnknownNameError, match="Did you mean 'paper'"):
        preset_config("papre", env_id="Toy-v0")


@pytest.mark.parametrize("layer_norm", [True, False])
def test_layer_norm_stands_behind_every_hidden_layer(layer_norm: bool) -> None:
    config = toy_config(layer_norm=layer_norm)
    model = build_model(config, wrap_env(ReachEnv(), config, AffinePrior(STATE)))
    nets = [model.actor.latent_pi, *model.critic.q_networks]
    normed = [sum(isinstance(m, LayerNormReLU) for m in net) for net in nets]
    assert normed == [len(config.net_arch) * layer_norm] * len(nets)


@pytest.mark.parametrize("kind", ["state", "hwc"])
def test_gradients_that_are_left_out_change_nothing(kind: str) -> None:
    """The same updates with and without them: from features, and through convolutions."""
    options: Any = {
        "policy": "MlpPolicy" if kind == "state" else "CnnPolicy",
        "policy_kwargs": {"net_arch": [16]},
        "learning_starts": 20,
        "batch_size": 8,
        "buffer_size": 40,
        "seed": 0,
        "device": "cpu",
    }
    stock = SAC(env=EchoEnv(kind), **options).learn(26)
    lean = SAC(env=EchoEnv(kind), **options)
    skip_unused_gradients(lean.critic)
    made: list[bool] = []
    for weight in lean.critic.parameters():
        weight.register_hook(lambda _: made.append(True))
    lean.learn(26)
    for ours, theirs in zip(lean.policy.parameters(), stock.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert all(weight.requires_grad for weight in lean.critic.parameters())
    # Once for each of six updates: by the critic's loss, not by the actor's as well.
    assert len(made) == 6 * len(list(lean.critic.parameters()))


def test_hard_target_copies_happen_at_the_interval_only(tmp_path: Path) -> None:
    config = toy_config(total_steps=60, target_update_interval=15, tau=1.0, checkpoint_every=0)
    model = toy_train(config, tmp_path)
    # 20 updates from step 41 on; the copy was made after the 15th, five updates ago.
    pairs = zip(model.critic.parameters(), model.critic_target.parameters(), strict=True)
    assert any(not torch.equal(live, target) for live, target in pairs)
    fresh = build_model(config, wrap_env(ReachEnv(), config, AffinePrior(STATE)))
    pairs = zip(fresh.critic_target.parameters(), model.critic_target.parameters(), strict=True)
    assert any(not torch.equal(first, now) for first, now in pairs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 1.0}, "gamma=1.0"),
        ({"kl": 0.0}, "kl=0.0"),
        ({"kl": "5"}, "kl='5'"),
        ({"batch_size": 0, "tau": 2.0}, "tau=2.0, batch_size=0"),
        ({"replay": {"kind": "rewarded", "share": 1.0}}, r"share must be in \(0, 1\)"),
        ({"replay": {"kind": "rewarded", "n_steps": 3}}, "Unknown setting"),
        ({"replay": {"kind": "reworded"}}, "Did you mean 'rewarded'"),
        ({"replay": {"kind": "demonstrations", "data": None}}, "data of DemonstrationReplay"),
        ({"replay": {"kind": "uniform", "n_steps": 0}}, "n_steps"),
        ({"first_rewards": -1}, "first_rewards=-1"),
        ({**DEMOS, "raw_actions": True}, "needs a prior to act through"),
        ({**DEMOS, "prior": None}, "needs a prior to act through"),
        ({"observation": "featurs"}, "Did you mean 'features'"),
        ({"convolutions": "papper"}, "Did you mean 'paper'"),
        ({"raw_actions": True, "observation": "both"}, "'features' or 'image'"),
        ({"raw_actions": {"explore": 1.5}}, "explore.*1.5"),
        ({"raw_actions": {"explore": 0.5}, "prior": None}, "needs a prior to explore with"),
        ({"raw_actions": {"initial_actor": "there"}, "first_rewards": 1}, "first_rewards=1"),
        ({"library": "sbxx"}, "Did you mean 'sbx'"),
        ({"library": "sbx", "observation": "both", "n_critics": 4}, "observation='both', n_crit"),
        ({"library": "sbx", "targets": "kl"}, "without targets='kl'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_config(**settings)


@pytest.mark.parametrize(
    ("former", "current"),
    [
        ({"raw_actions": False}, {}),
        ({"raw_actions": True}, {"raw_actions": RawActions()}),
        (
            {"raw_actions": True, "prior_explore": 0.9, "initial_actor": None},
            {"raw_actions": RawActions(explore=0.9)},
        ),
        (
            {"prior": None, "raw_actions": False, "initial_actor": "there"},
            {"prior": None, "raw_actions": RawActions(initial_actor="there")},
        ),
        (
            {"n_steps": 3, "rewarded_share": 0.0, "demonstration_share": 0.0},
            {"replay": UniformReplay(n_steps=3)},
        ),
        ({"n_steps": 1, "rewarded_share": 0.5}, {"replay": RewardedReplay(0.5)}),
        (
            {"demonstrations": "d", "demonstration_share": 0.2, "demonstration_episodes": 7},
            {"replay": DemonstrationReplay("d", 0.2, 7)},
        ),
        ({"demonstrations": None, "demonstration_episodes": 500, "broad": None}, {}),
    ],
)
def test_settings_of_earlier_runs_are_read(former: dict[str, Any], current: dict[str, Any]) -> None:
    config = toy_config(**current)
    values = {name: value for name, value in config.to_dict().items() if name not in current}
    assert RLConfig.from_dict({**values, **former}) == config
    assert RLConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_earlier_settings_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="one way to draw batches"):
        RLConfig.from_dict({"env_id": "Toy-v0", "n_steps": 3, "rewarded_share": 0.5})


def test_memory_that_does_not_fit_is_announced() -> None:
    config = toy_config(total_steps=10**12, buffer_size=10**12)
    with pytest.warns(UserWarning, match="set buffer_size to at most"), pytest.raises(MemoryError):
        build_model(config, wrap_env(ReachEnv(), config, AffinePrior(STATE)))


def test_log_is_cut_where_a_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({STEP_KEY: step}) + "\n" for step in (1, 2, 3)) + '{"ti')
    cut_log(path, 2)
    assert [row[STEP_KEY] for row in read_log(path)] == [1, 2]


def test_many_critics_are_pooled() -> None:
    """Targets are the lower of two, each critic is fitted by itself, the actor sees the mean."""
    config = toy_config(n_critics=5)
    model = build_model(config, wrap_env(ReachEnv(), config, AffinePrior(STATE)))
    seen, u = torch.randn(6, 4), torch.zeros(6, 2)
    alone = model.critic(seen, u)
    assert len(alone) == 5 and len(model.critic.q_networks) == 5
    values = torch.stack(model.critic_target.__class__.forward(model.critic_target, seen, u))
    pairs = [torch.stack(model.critic_target(seen, u)) for _ in range(40)]
    assert all(len(pair) == 2 for pair in pairs)
    drawn = {
        tuple(sorted(next(i for i in range(5) if torch.equal(values[i], one)) for one in pair))
        for pair in pairs
    }
    assert all(first != second for first, second in drawn) and len(drawn) > 5
    [pooled] = model.critic(seen, u.requires_grad_())
    torch.testing.assert_close(pooled, torch.stack(alone).mean(dim=0))
    two = build_model(toy_config(), wrap_env(ReachEnv(), toy_config(), AffinePrior(STATE)))
    assert len(two.critic(seen, u)) == len(two.critic_target(seen, u)) == 2


def test_the_budget_grows_to_the_whole(tmp_path: Path) -> None:
    budgets: list[float] = []

    class Watching(ReachEnv):
        def step(self, action: Any) -> Any:
            budgets.append(2 * math.log(2.0) - models[0].target_entropy)
            return super().step(action)

    models: list[SAC] = []
    original = rl_train.build_model

    def build(*args: Any) -> SAC:
        models.append(original(*args))
        return models[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rl_train, "build_model", build)
        config = toy_config(kl=4.0, kl_warmup=50, total_steps=80, checkpoint_every=0)
        model = toy_train(config, tmp_path, make_env=lambda *_: Watching())
    expected = [4.0 * min(1.0, steps / 50) for steps in range(80)]
    assert budgets == pytest.approx(expected)
    assert model.target_entropy == pytest.approx(2 * math.log(2.0) - 4.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_critics": 0},
        {"n_critics": 2.5},
        {"kl_warmup": -1},
        {"kl_warmup": 5, "kl": None},
        {"kl_warmup": 5, "raw_actions": True},
        {"kl_warmup": 5, "prior": None},
        {"critic": "action"},
    ],
)
def test_settings_of_critics_and_budget_are_checked(settings: dict[str, Any]) -> None:
    [name, *_] = settings
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=name):
        toy_config(**settings)
