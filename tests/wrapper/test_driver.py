"""What is each env's own while a prior drives it: its memory, and closed loops within chunks."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import (
    ActionChunking,
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
    parse_chart,
)
from parrot_wrapper.errors import InvalidArgumentError, NotOfferedError, SpaceMismatchError
from parrot_wrapper.evaluation.likelihood import measure_likelihood
from parrot_wrapper.evaluation.policies import (
    Clone,
    PriorFeaturesObservation,
    PriorSamples,
    RawClone,
    UniformActions,
)
from parrot_wrapper.evaluation.recordings import decisions, embed, record
from parrot_wrapper.priors.mixtures.broad import BroadMixture
from parrot_wrapper.rl.prior_explore import PriorExploreSAC
from tests.helpers import SPECS, AffinePrior, ClosedLoopPrior, EchoEnv, RememberingPrior

LENGTHS = (2, 7)
"""Of the episodes of two envs: one begins anew while the other goes on."""
HORIZONS = pytest.mark.parametrize("horizon", [1, 3])
SEEN = pytest.mark.parametrize("seen", ["image", "features", "both"])
DECISIONS = 8


def remembering(horizon):
    return RememberingPrior(SPECS["state"], horizon=horizon)


def expected(length, horizon):
    """Env steps that an episode had before each of an env's decisions."""
    episode = list(range(0, length, horizon))
    return (episode * DECISIONS)[:DECISIONS]


def made(horizon):
    def make(steps):
        env = EchoEnv("state", steps=steps)
        return ActionChunking(env, horizon) if horizon > 1 else env

    return [lambda steps=steps: make(steps) for steps in LENGTHS]


def counted(seen):
    """The last feature of what the agent sees; None where it sees none."""
    features = seen.get("features") if isinstance(seen, dict) else seen
    return None if features is None or features.shape[-1] == 4 else features[..., -1]


def first_actions(actions):
    """0.05 n from actions (B, A), or chunks (B, H, A), that u = 0 gave."""
    actions = np.asarray(actions)
    return (actions if actions.ndim == 2 else actions[:, 0])[:, 0]


def play_single(horizon, seen):
    for length in LENGTHS:
        env = BehavioralPriorWrapper(
            EchoEnv("state", steps=length), remembering(horizon), observation=seen
        )
        observation, _ = env.reset(seed=0)
        told = []
        for _ in range(DECISIONS):
            before = counted(observation)
            env.encode(np.zeros(env._driver._action_shape))  # asking changes nothing
            observation, _, _, ended, info = env.step(np.zeros(2, np.float32))
            if ended and before is not None:
                assert counted(observation) == before + horizon
            told.append((before, first_actions(info["parrot/action"][None])[0]))
            if ended:
                observation, _ = env.reset()
        yield told


def play_sb3(horizon, seen):
    venv = DummyVecEnv(made(horizon))
    venv = BehavioralPriorVecWrapper(venv, remembering(horizon), observation=seen)
    observations = venv.reset()
    told = []
    for _ in range(DECISIONS):
        before = counted(observations)
        observations, _, dones, infos = venv.step(np.zeros((2, 2), np.float32))
        for env in np.flatnonzero(dones) if before is not None else ():
            last = counted(infos[env]["terminal_observation"])
            assert last == before[env] + horizon
        actions = first_actions([info["parrot/action"] for info in infos])
        told.append([(None if before is None else before[env], actions[env]) for env in (0, 1)])
    return zip(*told, strict=True)


def play_vector(mode):
    def play(horizon, seen):
        envs = SyncVectorEnv(made(horizon), autoreset_mode=mode)
        envs = BehavioralPriorVectorWrapper(envs, remembering(horizon), observation=seen)
        observations, _ = envs.reset(seed=0)
        told = [[], []]
        while min(map(len, told)) < DECISIONS:
            before = counted(observations)
            observations, _, _, ended, infos = envs.step(np.zeros((2, 2), np.float32))
            final = infos.get("final_info", {})
            for env in (0, 1):
                own = next((i for i in (infos, final) if i and i["_parrot/action"][env]), None)
                if own is not None:
                    action = first_actions(own["parrot/action"][env][None])[0]
                    told[env].append((None if before is None else before[env], action))
                if before is not None and mode is AutoresetMode.SAME_STEP and ended[env]:
                    assert counted(infos["final_obs"][env]) == before[env] + horizon
            if mode is AutoresetMode.DISABLED and ended.any():
                observations, _ = envs.reset(options={"reset_mask": ended})
        return [own[:DECISIONS] for own in told]

    return play


SHELLS = {"single": play_single, "sb3": play_sb3} | {
    mode.name: play_vector(mode) for mode in AutoresetMode
}


@HORIZONS
@SEEN
@pytest.mark.parametrize("play", SHELLS.values(), ids=SHELLS)
def test_memory_is_each_envs_own_and_ends_with_its_episode(play, horizon, seen):
    for length, told in zip(LENGTHS, play(horizon, seen), strict=True):
        wanted = expected(length, horizon)
        np.testing.assert_allclose([a for _, a in told], 0.05 * np.array(wanted), atol=1e-6)
        if seen != "image":
            assert [before for before, _ in told] == wanted


@HORIZONS
def test_policies_of_judging_remember_too(horizon):
    """Samples, clones of z and of actions: over the bare env, and set back by `begin`."""
    env, prior = EchoEnv("state", steps=7), remembering(horizon)

    def actions(policy, seed):
        observation, _ = env.reset(seed=seed)
        policy.begin(seed)
        told = []
        for _ in range(7):
            told.append(policy(observation))
            observation, *_ = env.step(told[-1].copy())
        return np.array(told)

    chunk = np.arange(7) % horizon
    known = 0.05 * (np.arange(7) - chunk) + 0.1 * chunk
    clone = Clone(env, prior, lambda features: np.zeros((1, 2), np.float32))
    raw = RawClone(env, prior, lambda features: np.tile(0.05 * features[:, -1:], 2))
    samples = PriorSamples(env, prior)
    for seed in (1, 2):
        np.testing.assert_allclose(actions(clone, seed), np.tile(known[:, None], 2), atol=1e-6)
        alone = 0.05 * np.arange(7) if horizon == 1 else np.zeros(7)
        np.testing.assert_allclose(actions(raw, seed), np.tile(alone[:, None], 2), atol=1e-6)
        rng = np.random.default_rng((seed, 2))
        noise = np.repeat([rng.standard_normal(2) for _ in range(-(-7 // horizon))], horizon, 0)
        drawn = np.clip(0.2 * noise[:7] + known[:, None], -1, 1)
        np.testing.assert_allclose(actions(samples, seed), drawn, atol=1e-6)


@HORIZONS
def test_recordings_are_read_with_what_was_remembered(horizon):
    env, prior = EchoEnv("state", steps=7), remembering(horizon)
    recording = record(env, prior, UniformActions(env), episodes=2)
    decided = decisions(prior, recording)
    wanted = np.tile(np.arange(0, 7 - horizon + 1, horizon), 2)
    assert decided.features[:, -1].tolist() == wanted.tolist()
    assert embed(prior, recording)[:, -1].tolist() == (
        [*range(7)] * 2 if horizon == 1 else [0] * 14
    )
    with pytest.raises(NotOfferedError, match="log_prob_features"):
        measure_likelihood(prior, recording, rng=np.random.default_rng(0))


def test_agents_with_raw_actions_see_what_the_prior_remembers():
    env = PriorFeaturesObservation(EchoEnv("state", steps=4), remembering(1))
    model = PriorExploreSAC("MlpPolicy", env, prior=remembering(1), prior_explore=1.0, seed=0)
    model.learn(10)
    counts = model.replay_buffer.observations[:10, 0, -1]
    assert counts.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_who_cannot_carry_a_memory_says_so():
    with pytest.raises(InvalidArgumentError, match=r"PriorFeaturesObservation"):
        PriorExploreSAC("MlpPolicy", EchoEnv("state"), prior=remembering(1), sees_features=False)
    with pytest.raises(InvalidArgumentError, match="BehavioralPriorWrapper"):
        PriorFeaturesObservation(EchoEnv("state"), remembering(3))
    with pytest.raises(InvalidArgumentError, match="memory"):
        BroadMixture(remembering(1))


def newest(seen, first, step, u=0.0):
    """What `ClosedLoopPrior` does there."""
    return np.clip(seen.mean() + 0.1 * first.mean() + 0.1 * step + 0.2 * u, -1, 1)


class SeenEnv(EchoEnv):
    """Keeps what it showed before each step, and what was executed."""

    def __init__(self, **options):
        super().__init__("state", **options)
        self.log = []

    def _observe(self):
        self.shown = super()._observe()
        return self.shown

    def step(self, action):
        self.log.append((self.taken, self.shown, action.copy()))
        return super().step(action)


def check_closed_loop(log, horizon):
    for taken, shown, action in log:
        step = taken % horizon
        if step == 0:
            first = shown
        np.testing.assert_allclose(action, newest(shown, first, step), atol=1e-6)


@SEEN
def test_closed_loops_decode_each_action_for_the_newest_observation(seen):
    prior = ClosedLoopPrior(SPECS["state"], horizon=3)
    env = BehavioralPriorWrapper(SeenEnv(steps=5), prior, observation=seen)
    for seed in (0, 1):
        env.reset(seed=seed)
        for _ in range(2):
            *_, info = env.step(np.zeros(2, np.float32))
            done = np.array([action for *_, action in env.unwrapped.log])[
                -info["parrot/env_steps"] :
            ]
            np.testing.assert_array_equal(info["parrot/action"][: len(done)], done)
            assert info["parrot/clipped"] is bool((np.abs(done) == 1).any())
    assert len(env.unwrapped.log) == 10
    check_closed_loop(env.unwrapped.log, 3)


def test_closed_loops_in_judging_and_where_each_env_is_wrapped():
    prior = ClosedLoopPrior(SPECS["state"], horizon=3)
    env = SeenEnv(steps=5)
    clone = Clone(env, prior, lambda features: np.zeros((1, 2), np.float32))
    for seed in (0, 1):
        observation, _ = env.reset(seed=seed)
        clone.begin(seed)
        for _ in range(5):
            observation, *_ = env.step(clone(observation))
    check_closed_loop(env.log, 3)
    venv = DummyVecEnv([lambda: BehavioralPriorWrapper(SeenEnv(steps=5), prior)] * 2)
    venv.reset()
    for _ in range(4):
        venv.step(np.zeros((2, 2), np.float32))
    for log in venv.get_attr("log"):
        check_closed_loop(log, 3)


GAMMA = 0.5
U = np.array([0.55, 0.5], np.float32)


def one_by_one():
    def make(steps):
        return ActionChunking(SeenEnv(steps=steps), 3, gamma=GAMMA, one_by_one=True)

    return [lambda steps=steps: make(steps) for steps in LENGTHS]


def closed_sb3():
    prior = ClosedLoopPrior(SPECS["state"], horizon=3, scale=1.0)
    envs = BehavioralPriorVecWrapper(DummyVecEnv(one_by_one()), prior)
    envs.seed(3)
    envs.reset()
    told = [[], []]
    for _ in range(DECISIONS):
        _, rewards, dones, infos = envs.step(np.stack([U, U]))
        for env in (0, 1):
            told[env].append((rewards[env], dones[env], infos[env]))
    return told, envs.get_attr("log")


def closed_vector(mode):
    def play():
        prior = ClosedLoopPrior(SPECS["state"], horizon=3, scale=1.0)
        bare = SyncVectorEnv(one_by_one(), autoreset_mode=mode)
        envs = BehavioralPriorVectorWrapper(bare, prior)
        envs.reset(seed=[3, 4])
        told = [[], []]
        while min(map(len, told)) < DECISIONS:
            _, rewards, _, ended, infos = envs.step(np.stack([U, U]))
            final = infos.get("final_info", {})
            for env in (0, 1):
                own = next((i for i in (infos, final) if i and i["_parrot/action"][env]), None)
                if own is not None:
                    info = {key: own[key][env] for key in CHUNK_TOLD}
                    told[env].append((rewards[env], ended[env], info))
                else:
                    assert rewards[env] == 0.0 and not infos["parrot/env_steps"][env]
            if mode is AutoresetMode.DISABLED and ended.any():
                envs.reset(options={"reset_mask": ended})
        return [own[:DECISIONS] for own in told], [env.unwrapped.log for env in bare.envs]

    return play


CHUNK_TOLD = ("parrot/action", "parrot/rewards", "parrot/env_steps", "parrot/clipped")
CLOSED = {"sb3": closed_sb3} | {mode.name: closed_vector(mode) for mode in AutoresetMode}


@pytest.mark.parametrize("play", CLOSED.values(), ids=CLOSED)
def test_closed_loops_in_many_envs_are_those_of_one(play):
    """Episodes of 2 and 7 steps in chunks of 3, each action for what its own env shows."""
    told, logs = play()
    for log, length, own in zip(logs, LENGTHS, told, strict=True):
        episodes = [taken for taken, *_ in log]
        assert episodes == [k % length for k in range(len(episodes))]  # none without a pause
        first = None
        for taken, shown, action in log:
            first = shown if taken % 3 == 0 else first
            known = shown.mean() + 0.1 * first.mean() + 0.1 * (taken % 3)
            expected = np.clip(parse_chart("gaussian").to_latent(U) + known, -1, 1)
            np.testing.assert_allclose(action, expected, atol=1e-5)
        steps = [info["parrot/env_steps"] for *_, info in own]
        ends = [n for n in [3, 3, 1] if length == 7] or [2]
        assert steps == (ends * DECISIONS)[:DECISIONS]
        for reward, ended, info in own:
            n = info["parrot/env_steps"]
            assert ended == (n == ends[-1])
            done, rewards = info["parrot/action"], info["parrot/rewards"]
            np.testing.assert_allclose(rewards[:n], done[:n, 0], atol=1e-6)
            assert not done[n:].any() and not rewards[n:].any()
            assert reward == pytest.approx((GAMMA ** np.arange(3) * rewards).sum(), abs=1e-6)
            assert info["parrot/clipped"] == (np.abs(done[:n]) == 1).any()


def test_who_cannot_close_the_loop_says_so():
    prior = ClosedLoopPrior(SPECS["state"], horizon=3)
    for below in (EchoEnv, lambda obs: ActionChunking(EchoEnv(obs), 3)):
        one = lambda below=below: below("state")  # noqa: E731
        for twin, many in (
            (BehavioralPriorVecWrapper, DummyVecEnv([one])),
            (BehavioralPriorVectorWrapper, SyncVectorEnv([one])),
        ):
            with pytest.raises(
                SpaceMismatchError, match=r"ActionChunking\(env, 3, one_by_one=True"
            ):
                twin(many, prior)
    one = lambda: ActionChunking(EchoEnv("state"), 3, one_by_one=True)  # noqa: E731
    four = ClosedLoopPrior(SPECS["state"], horizon=4)
    for twin, many in (
        (BehavioralPriorVecWrapper, DummyVecEnv([one])),
        (BehavioralPriorVectorWrapper, SyncVectorEnv([one])),
    ):
        with pytest.raises(SpaceMismatchError, match=r"chunks of 4, got .3.*\(env, 4, one_by_one"):
            twin(many, four)
    with pytest.raises(SpaceMismatchError, match=r"ActionChunking\(env, 3\)"):
        BehavioralPriorVecWrapper(DummyVecEnv([one]), AffinePrior(SPECS["state"], horizon=3))
    with pytest.raises(InvalidArgumentError, match="BehavioralPriorWrapper"):
        PriorExploreSAC("MlpPolicy", EchoEnv("state"), prior=prior, sees_features=False)


@pytest.mark.parametrize("twin", [BehavioralPriorVecWrapper, BehavioralPriorVectorWrapper])
@pytest.mark.parametrize("option", ["latnet", "gamma"])
def test_twins_know_their_options(twin, option):
    kind = DummyVecEnv if twin is BehavioralPriorVecWrapper else SyncVectorEnv
    with pytest.raises(TypeError, match=option):
        twin(kind([lambda: EchoEnv("state")]), AffinePrior(SPECS["state"]), **{option: 0.9})


def test_one_action_a_latent_is_no_closed_loop():
    class Single(ClosedLoopPrior):
        decode_features = AffinePrior.decode_features

    envs = gym.vector.SyncVectorEnv([lambda: EchoEnv("state")])
    BehavioralPriorVectorWrapper(envs, Single(SPECS["state"])).reset(seed=0)
