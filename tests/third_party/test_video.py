"""SB3's recorder films a wrapped env."""

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecVideoRecorder

from parrot_wrapper import BehavioralPriorVecWrapper, BehavioralPriorWrapper

pytest.importorskip("moviepy")
pytest.importorskip("pybullet")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("vectorised", [False, True])
def test_films(tmp_path, vectorised):
    make = {"env_kwargs": {"render_mode": "rgb_array"}}
    if not vectorised:
        make |= {"wrapper_class": BehavioralPriorWrapper, "wrapper_kwargs": {"prior": "parrot-v0"}}
    venv = make_vec_env("parrot_envs:ParrotGraspCup-v0", 1, **make)
    if vectorised:
        venv = BehavioralPriorVecWrapper(venv, "parrot-v0")
    filmed = VecVideoRecorder(venv, str(tmp_path), lambda step: step == 0, video_length=6)
    filmed.reset()
    for _ in range(7):
        filmed.step(np.zeros((1, 7), np.float32))
    filmed.close()
    [film] = tmp_path.glob("*.mp4")
    assert film.stat().st_size > 1_000
