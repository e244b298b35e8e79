"""The gymnasium.vector twin does for many envs what the wrapper does for each, in every mode."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics, RescaleObservation

from parrot_wrapper import (
    ActionChunking,
    BehavioralPriorVectorWrapper,
    BehavioralPriorWrapper,
    load_prior,
)
from parrot_wrapper.errors import InvalidArgumentError
from tests.helpers import SPECS, AffinePrior, EchoEnv

LENGTHS = (2, 3, 3)
KINDS = pytest.mark.parametrize("kind", SPECS)
SEEN = pytest.mark.parametrize("seen", ["image", "features", "both"])
MODES = pytest.mark.parametrize("mode", AutoresetMode)
ZEROS = np.zeros((3, 2), np.float32)


IN_PROCESSES = partial(AsyncVectorEnv, context="forkserver")
HOW = pytest.mark.parametrize("how", [SyncVectorEnv, IN_PROCESSES], ids=["sync", "async"])


def echoes(kind="hwc", mode=AutoresetMode.NEXT_STEP, wrap=lambda env: env, how=SyncVectorEnv):
    """Three envs with episodes of different lengths."""
    return how([lambda n=n: wrap(EchoEnv(kind, steps=n)) for n in LENGTHS], autoreset_mode=mode)


def wrapped(kind="hwc", mode=AutoresetMode.NEXT_STEP, **options):
    return BehavioralPriorVectorWrapper(echoes(kind, mode), AffinePrior(SPECS[kind]), **options)


def assert_equal(left, right, atol=1e-6):
    """Recursively, keys and dtypes included."""
    if isinstance(left, dict):
        assert sorted(left) == sorted(right)
        for key in left:
            assert_equal(left[key], right[key], atol)
    elif isinstance(left, np.ndarray) and left.dtype == object:
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal(one, other, atol)
    elif left is None or isinstance(left, list):
        assert left == right
    elif left.dtype == np.uint8:
        np.testing.assert_array_equal(left, right)
    else:
        assert left.dtype == right.dtype
        np.testing.assert_allclose(left, right, atol=atol)


def latents(steps, envs, dim):
    return np.random.default_rng(0).uniform(-1, 1, (steps, envs, dim)).astype(np.float32)


def told(result):
    """What came back, without the masks of who executed something: a reset does not."""
    *rest, infos = result
    known = {key: value for key, value in infos.items() if not key.startswith("_parrot/")}
    return dict(enumerate([*rest, known]))


@KINDS
@SEEN
@MODES
def test_gives_what_a_vector_of_wrapped_envs_gives(kind, seen, mode):
    options = {"observation": seen, "latent": "tempered:0.7"}
    prior = AffinePrior(SPECS[kind])
    ours = wrapped(kind, mode, **options)
    theirs = echoes(kind, mode, lambda env: BehavioralPriorWrapper(env, prior, **options))
    compare(ours, theirs, mode)


@HOW
@MODES
def test_chunks_end_with_their_episode_in_every_sub_env(mode, how):
    """Episodes of two and three steps in chunks of two: nothing leaks into the next one."""
    prior = AffinePrior(SPECS["state"], horizon=2)
    chunked = echoes("state", mode, partial(ActionChunking, horizon=2, gamma=0.9), how)
    ours = BehavioralPriorVectorWrapper(chunked, prior, observation="both")
    behind = partial(BehavioralPriorWrapper, prior=prior, observation="both", gamma=0.9)
    theirs = echoes("state", mode, behind)
    compare(ours, theirs, mode)
    ours.reset(seed=0)
    *_, infos = ours.step(ZEROS)
    if mode is AutoresetMode.SAME_STEP:  # the first one is in its next episode already
        np.testing.assert_array_equal(infos["parrot/env_steps"], [0, 2, 2])
        np.testing.assert_array_equal(infos["_parrot/env_steps"], [False, True, True])
        infos = infos["final_info"]
        np.testing.assert_array_equal(infos["parrot/env_steps"], [2, 0, 0])
    else:
        np.testing.assert_array_equal(infos["parrot/env_steps"], [2, 2, 2])
    if mode is AutoresetMode.NEXT_STEP:
        *_, infos = ours.step(ZEROS)
        np.testing.assert_array_equal(infos["parrot/env_steps"], [0, 1, 1])
        np.testing.assert_array_equal(infos["_parrot/action"], [False, True, True])
    ours.close()


@HOW
@MODES
def test_gives_what_a_vector_of_wrapped_envs_gives_with_the_packaged_prior(how, mode):
    """Batches of other sizes add up in another order, so that features differ in rounding."""
    pytest.importorskip("parrot_envs")
    prior = load_prior("parrot-v0")

    def make(wrap=lambda env: env):
        return wrap(gym.make("parrot_envs:ParrotPickPlace-v0", max_episode_steps=3))

    behind = partial(BehavioralPriorWrapper, prior=prior, observation="both")
    ours = how([make] * 3, autoreset_mode=mode)
    ours = BehavioralPriorVectorWrapper(ours, prior, observation="both")
    theirs = SyncVectorEnv([partial(make, behind)] * 3, autoreset_mode=mode)
    compare(ours, theirs, mode, steps=8, dim=7, atol=1e-4)
    ours.close()
    theirs.close()


def compare(ours, theirs, mode, *, steps=9, dim=2, atol=1e-6):
    for space in ("observation", "action", "single_observation", "single_action"):
        assert getattr(ours, f"{space}_space") == getattr(theirs, f"{space}_space")
    assert ours.metadata["autoreset_mode"] is mode
    assert ours.num_envs == 3
    first = ours.reset(seed=4)
    assert_equal(told(first), told(theirs.reset(seed=4)), atol)
    for u in latents(steps, 3, dim):
        back, expected = ours.step(u), theirs.step(u)
        assert_equal(told(back), told(expected), atol)
        assert set(first[1]) <= set(back[-1])
        assert ours.observation_space.contains(back[0])
        ended = back[2] | back[3]
        if mode is AutoresetMode.DISABLED and ended.any():
            again = [envs.reset(options={"reset_mask": ended.copy()}) for envs in (ours, theirs)]
            assert_equal(*map(told, again), atol)


def test_the_step_that_resets_executes_nothing_and_says_so():
    envs = wrapped()
    envs.reset(seed=0)
    envs.step(ZEROS)
    envs.step(ZEROS + 0.5)  # the first episode of two steps is over
    *_, infos = envs.step(ZEROS + 0.5)
    np.testing.assert_array_equal(infos["_parrot/action"], [False, True, True])
    np.testing.assert_array_equal(infos["_echo"], [False, True, True])
    np.testing.assert_array_equal(infos["parrot/action"][0], [0, 0])
    np.testing.assert_array_equal(infos["parrot/action"][1:], infos["echo"][1:])
    assert (infos["parrot/latent"][1:] > 0.5).all()
    *_, infos = envs.step(ZEROS)  # now the other two
    np.testing.assert_array_equal(infos["_parrot/latent"], [True, False, False])


def test_a_mask_leaves_the_others_where_they_are():
    envs = wrapped(mode=AutoresetMode.DISABLED, observation="both")
    envs.reset(seed=0)
    before = envs.step(ZEROS)[0]
    seen, _ = envs.reset(options={"reset_mask": np.array([False, True, False])})
    for index, same in enumerate([True, False, True]):
        for key in ("image", "features"):
            assert np.array_equal(seen[key][index], before[key][index]) == same
    *_, infos = envs.step(ZEROS)
    prior = envs.prior
    np.testing.assert_allclose(infos["echo"], prior.decode_features(ZEROS, seen["features"]))


@HOW
def test_without_autoreset_an_ended_env_is_not_stepped(how):
    envs = BehavioralPriorVectorWrapper(
        echoes("state", AutoresetMode.DISABLED, how=how), AffinePrior(SPECS["state"])
    )
    envs.reset(seed=0)
    envs.step(ZEROS)
    envs.step(ZEROS)
    with pytest.raises(ResetNeeded, match=r"within an episode, got \[0\] after its end"):
        envs.step(ZEROS)
    envs.reset(options={"reset_mask": np.array([True, False, False])})
    envs.step(ZEROS)
    envs.close()


def test_nothing_that_is_handed_out_is_kept():
    """Neither from a vector env that hands out its own buffer, nor to those who write in ours."""
    own_buffer = SyncVectorEnv([lambda: EchoEnv("state")] * 2, copy=False)
    for observation in ("image", "features"):
        envs = BehavioralPriorVectorWrapper(
            own_buffer, AffinePrior(SPECS["state"]), observation=observation
        )
        seen, _ = envs.reset(seed=0)
        expected = envs.encode(np.zeros((2, 2)))
        seen[...] = 0.0
        np.testing.assert_array_equal(envs.encode(np.zeros((2, 2))), expected)
        *_, infos = envs.step(ZEROS[:2])
        np.testing.assert_array_equal(infos["parrot/action"], infos["echo"])


def test_encode_inverts_step():
    envs = wrapped("dict", observation="features")
    envs.reset(seed=0)
    action = np.array([[0.1, -0.1], [0.2, 0.0], [0.0, 0.3]], np.float32)
    *_, infos = envs.step(envs.encode(action))
    np.testing.assert_allclose(infos["echo"], action, atol=1e-5)


def recorded_lengths(envs, mode):
    """Those of finished episodes, as gymnasium counts them."""
    envs = RecordEpisodeStatistics(envs)
    envs.reset(seed=0)
    lengths = []
    for _ in range(9):
        *_, terminations, truncations, infos = envs.step(ZEROS)
        ended = terminations | truncations
        if ended.any():
            lengths += list(infos["episode"]["l"][infos["_episode"]])
            if mode is AutoresetMode.DISABLED:
                envs.reset(options={"reset_mask": ended})
    return lengths


@MODES
def test_gymnasiums_own_wrappers_go_around_it(mode):
    lengths = recorded_lengths(wrapped("state", mode, observation="features"), mode)
    if mode is AutoresetMode.SAME_STEP:  # where gymnasium up to 1.2.0 miscounts, with any envs
        assert lengths == recorded_lengths(echoes("state", mode), mode)
    else:
        assert set(lengths) == {2, 3}
    if mode is not AutoresetMode.SAME_STEP:  # which gymnasium refuses here
        low, high = np.zeros(4, np.float32), np.ones(4, np.float32)
        below = RescaleObservation(echoes("state", mode), low, high)
        inside = BehavioralPriorVectorWrapper(below, AffinePrior(SPECS["state"]))
        assert inside.reset(seed=0)[0].min() >= 0.0
        assert inside.step(ZEROS)[0].shape == (3, 4)


def test_a_mask_before_the_first_reset_is_refused():
    envs = wrapped()
    with pytest.raises(ResetNeeded, match=r"reset_mask that leaves out \[1, 2\]"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    envs.reset()


@pytest.mark.parametrize(
    "mask", [[True] * 3, np.ones(2, bool), np.ones(3, int), np.zeros(3, bool), None]
)
def test_bad_masks(mask):
    envs = wrapped("state", AutoresetMode.DISABLED)
    envs.reset(seed=0)
    with pytest.raises(InvalidArgumentError, match=r"array \(3,\) of bool"):
        envs.reset(options={"reset_mask": mask})
    envs.step(ZEROS)  # nothing was reset, nothing was forgotten


def test_the_autoreset_mode_is_read():
    envs = echoes()
    envs.metadata = {**envs.metadata, "autoreset_mode": "NextStep"}
    with pytest.raises(InvalidArgumentError, match="AutoresetMode, got 'NextStep'"):
        BehavioralPriorVectorWrapper(envs, AffinePrior())
    envs.metadata = {}
    with pytest.warns(UserWarning, match="NEXT_STEP is assumed") as caught:
        BehavioralPriorVectorWrapper(envs, AffinePrior())
    assert caught[0].filename == __file__
