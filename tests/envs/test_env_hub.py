"""What LeRobot's evaluation asks of an env from the Hub."""

import numpy as np
import pytest

pytest.importorskip("pybullet")
from parrot_envs.env_hub import make_env


@pytest.mark.parametrize("use_async_envs", [False, True])
def test_episodes_end_with_their_success_in_the_final_info(use_async_envs):
    cfg = {"env_id": "ParrotGraspCup-v0", "max_episode_steps": 3}
    suites = make_env(n_envs=2, use_async_envs=use_async_envs, cfg=cfg)
    [(suite, tasks)] = suites.items()
    assert (suite, list(tasks)) == ("parrot", [0])
    envs = tasks[0]
    try:
        seen, _ = envs.reset(seed=[0, 1])
        assert seen["pixels"].shape == (2, 48, 48, 3) and seen["pixels"].dtype == np.uint8
        assert seen["agent_pos"].shape[0] == 2
        for _ in range(3):
            seen, _, _, truncated, info = envs.step(envs.action_space.sample())
        assert truncated.all() and info["final_info"]["is_success"].tolist() == [False, False]
        assert envs.call("_max_episode_steps") == (3, 3)
    finally:
        envs.close()
