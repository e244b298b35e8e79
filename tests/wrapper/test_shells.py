"""What the wrapper and both of its vector twins do alike, and what all of them refuse."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from parrot_wrapper import (
    BehavioralPriorVectorWrapper,
    BehavioralPriorVecWrapper,
    BehavioralPriorWrapper,
)
from parrot_wrapper.errors import (
    InvalidArgumentError,
    LatentError,
    SpaceMismatchError,
    UnknownNameError,
)
from tests.helpers import CAMERA, SPECS, AffinePrior, CameraEnv, EchoEnv

ENVS = 3
MODES = pytest.mark.parametrize("mode", ["image", "features", "both"])


class Single:
    """One env; the others have the same methods."""

    wrapper, shape = BehavioralPriorWrapper, (2,)

    def __init__(self, make=EchoEnv, prior=None, **options):
        self.bare = self.below(make)
        self.env = self.wrapper(self.bare, prior or AffinePrior(), **options)

    def below(self, make):
        return make()

    def first(self):
        """The env that is reset first."""
        return self.bare

    def reset(self):
        return self.env.reset(seed=0)[0]

    def step(self, u):
        """What is executed, and what is told of it."""
        infos = self.env.step(u)[-1]
        infos = infos.get("final_info", infos)
        return infos["echo"], infos["parrot/action"]

    def taken(self):
        return [self.bare.taken]


class Vector(Single):
    wrapper, shape = BehavioralPriorVectorWrapper, (ENVS, 2)

    def below(self, make):
        return SyncVectorEnv([make] * ENVS, autoreset_mode=AutoresetMode.SAME_STEP)

    def first(self):
        return self.bare.envs[0]

    def taken(self):
        return self.bare.call("taken")


class Sb3(Vector):
    wrapper = BehavioralPriorVecWrapper

    def below(self, make):
        return DummyVecEnv([make] * ENVS)

    def reset(self):
        self.env.seed(0)
        return self.env.reset()

    def step(self, u):
        infos = self.env.step(u)[-1]
        return tuple(np.stack([i[key] for i in infos]) for key in ("echo", "parrot/action"))

    def taken(self):
        return self.bare.get_attr("taken")


SHELLS = pytest.mark.parametrize("shell", [Single, Vector, Sb3])


@SHELLS
@MODES
@pytest.mark.parametrize("kind", ["state", "dict"])
def test_nothing_that_is_handed_out_is_kept(shell, mode, kind):
    env, twin = (
        shell(lambda: EchoEnv(kind), AffinePrior(SPECS[kind]), observation=mode) for _ in range(2)
    )
    seen, zeros = env.reset(), np.zeros(env.shape, np.float32)
    twin.reset()
    for array in seen.values() if isinstance(seen, dict) else [seen]:
        array[...] = 0
    np.testing.assert_array_equal(env.env.encode(zeros), twin.env.encode(zeros))
    executed, told = env.step(zeros + 0.3)
    np.testing.assert_array_equal(executed, twin.step(zeros + 0.3)[0])
    np.testing.assert_array_equal(executed, told)
    again = env.step(zeros)[1]
    assert not np.shares_memory(told, executed) and not np.shares_memory(told, again)


@SHELLS
def test_bad_latents_never_reach_the_simulator(shell):
    env = shell()
    zeros = np.zeros(env.shape, np.float32)
    for call in (env.step, env.env.encode):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) before step\(\) and encode\(\)"):
            call(zeros)
    env.reset()
    rows = "" if shell is Single else f"{ENVS}, "
    for u, message in (
        (zeros * np.nan, r"finite latents, got \[\[nan, nan\]"),
        (zeros + np.inf, "finite latents"),
        (np.zeros(3), r"\(envs, latent dim\), got shape"),
        (zeros[None], rf"got shape \(1, {rows or '1, '}2\)"),
        (np.float32(0.0), "got shape"),
        (zeros + 1.5, r"u within \[-1, 1\], got .* chart.to_unit"),
    ):
        with pytest.raises(LatentError, match=message):
            env.step(u)
    for action in ([0.0], [[0.0, 0.0, 0.0]], zeros * np.nan):
        with pytest.raises(InvalidArgumentError, match="finite actions of shape"):
            env.env.encode(action)
    assert set(env.taken()) == {0}
    env.env.prior.scale = np.nan
    with pytest.raises(LatentError, match="finite actions from the prior"):
        env.step(zeros)
    assert set(env.taken()) == {0}


@SHELLS
def test_a_failed_reset_leaves_no_observation_to_act_on(shell, monkeypatch):
    env = shell()
    env.reset()
    monkeypatch.setattr(env.first(), "_observe", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(env.shape, np.float32))


@SHELLS
@pytest.mark.parametrize(("mode", "calls"), [("image", 5), ("features", 6), ("both", 6)])
def test_each_observation_is_embedded_once_for_all_envs(shell, mode, calls):
    env = shell(observation=mode)
    env.reset()
    zeros = np.zeros(env.shape, np.float32)
    for _ in range(5):
        env.env.encode(zeros)
        env.step(zeros)
    # and once more for all that ended and began anew
    assert env.env.prior.feature_calls == calls + (mode != "image" and shell is not Single)


@SHELLS
@pytest.mark.parametrize(
    ("make", "prior", "options", "error", "message"),
    [
        (EchoEnv, None, {"latent": "gausian"}, UnknownNameError, "chart 'gausian'"),
        (EchoEnv, None, {"observation": "feature"}, UnknownNameError, "Did you mean 'features'"),
        (EchoEnv, "parot-v0", {}, UnknownNameError, "Unknown prior 'parot-v0'"),
        (EchoEnv, 3, {}, InvalidArgumentError, "name of a prior, its folder, or a live prior"),
        (lambda: EchoEnv("state"), None, {}, SpaceMismatchError, "does not fit the prior"),
        (
            CameraEnv,
            AffinePrior(metadata={"camera": {**CAMERA, "size": 64}}),
            {},
            SpaceMismatchError,
            "camera size: expected 64",
        ),
    ],
)
def test_bad_arguments(shell, make, prior, options, error, message):
    with pytest.raises(error, match=message):
        shell(make, prior, **options)


@pytest.mark.parametrize("shell", [Vector, Sb3])
def test_envs_of_single_actions_are_told_how_to_take_chunks(shell):
    with pytest.raises(SpaceMismatchError, match=r"ActionChunking\(env, 4\) before vectorising"):
        shell(prior=AffinePrior(horizon=4))


@SHELLS
@pytest.mark.parametrize("of", [Single, Vector, Sb3, None])
def test_other_kinds_of_env_are_named(shell, of):
    if of is not shell:
        with pytest.raises(InvalidArgumentError, match=r"(gymnasium.Env|VectorEnv|VecEnv.*), got"):
            shell.wrapper(of and of().bare, AffinePrior())


@SHELLS
def test_the_camera_fits_and_termination_on_success_is_warned_of(shell):
    shell(CameraEnv, AffinePrior(metadata={"camera": CAMERA}))
    with pytest.warns(UserWarning, match="entropy bonus pays") as caught:
        shell.wrapper(shell.below(None, lambda: EchoEnv(terminate_on_success=True)), AffinePrior())
    assert caught[0].filename == __file__


def test_envs_in_processes_are_asked_for_camera_and_termination():
    envs = AsyncVectorEnv([CameraEnv] * 2, context="forkserver")
    other = AffinePrior(metadata={"camera": {**CAMERA, "size": 64}})
    # kept, since up to gymnasium 1.2.0 a wrapper closes its envs when it is let go
    fits = BehavioralPriorVectorWrapper(envs, AffinePrior(metadata={"camera": CAMERA}))
    with pytest.raises(SpaceMismatchError, match="camera size: expected 64"):
        BehavioralPriorVectorWrapper(envs, other)
    fits.close()
    ending = AsyncVectorEnv(
        [EchoEnv, lambda: EchoEnv(terminate_on_success=True)], context="forkserver"
    )
    with pytest.warns(UserWarning, match="entropy bonus") as caught:
        BehavioralPriorVectorWrapper(ending, AffinePrior())
    assert caught[0].filename == __file__
    ending.close()


def test_termination_on_success_is_read_from_the_spec():
    kwargs = {"terminate_on_success": True}
    gym.register("ParrotTestEnding-v0", entry_point="tests.helpers:EchoEnv", kwargs=kwargs)
    try:
        env = gym.make("ParrotTestEnding-v0")
        del env.unwrapped.terminate_on_success
        with pytest.warns(UserWarning, match="terminate_on_success=False"):
            BehavioralPriorWrapper(env, AffinePrior())
    finally:
        gym.registry.pop("ParrotTestEnding-v0")


@SHELLS
def test_print_names_the_prior_the_chart_and_what_is_inside(shell):
    text = str(shell(lambda: EchoEnv("state"), AffinePrior(SPECS["state"])).env)
    inside = {Single: "EchoEnv", Vector: "SyncVectorEnv", Sb3: "3 envs of DummyVecEnv"}[shell]
    assert shell.wrapper.__name__ in text and "AffinePrior, latent='gaussian'" in text
    assert inside in text and "\n" not in text
