"""A diffusion policy that LeRobot trained on a folder of ours, behind the wrapper with stock SAC.

`make test-lerobot` installs what it needs; elsewhere it is skipped.
"""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import FrameStackObservation

pytest.importorskip("lerobot")
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import dataset_to_policy_features
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.policies.factory import make_pre_post_processors
from stable_baselines3 import SAC

from parrot_wrapper import BehavioralPriorWrapper
from parrot_wrapper.data.exchange import export_lerobot
from parrot_wrapper.errors import (
    CheckpointError,
    InvalidArgumentError,
    NotOfferedError,
    SpaceMismatchError,
)
from parrot_wrapper.priors.lerobot_policy import LeRobotPrior, load_lerobot_policy
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.rl.action_critic import ActionCriticSAC

pytestmark = pytest.mark.filterwarnings("ignore")  # its packages warn of each other
FRAMES, HORIZON, STEPS = 2, 8, 4


class Camera(gym.Env):
    """Ten steps; noise on a camera called "top", and a place that actions move."""

    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, camera: str = "top", actions: int = 2) -> None:
        self.action_space = gym.spaces.Box(-1.0, 1.0, (actions,), np.float32)
        image = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8)
        place = gym.spaces.Box(-9.0, 9.0, (2,), np.float32)
        self.observation_space = gym.spaces.Dict({camera: image, "proprio": place})
        self.camera = camera

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.taken = self.np_random.uniform(-1, 1, 2), 0
        return self.look(), {}

    def step(self, action: Any) -> Any:
        self.place, self.taken = self.place + 0.1 * action[:2], self.taken + 1
        return self.look(), float(self.place[0]), False, self.taken >= 10, {}

    def look(self) -> Any:
        image = self.np_random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        return {self.camera: image, "proprio": self.place.astype(np.float32)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a policy after two dozen updates."""
    root = tmp_path_factory.mktemp("lerobot")
    data = record_policy(
        Camera(), lambda seen: -seen["proprio"], episodes=4, image_key="top", proprio_key="proprio"
    )
    folder = export_lerobot(data, root / "data")
    features = dataset_to_policy_features(LeRobotDataset("our/data", root=folder).meta.features)
    seen = {key: feature for key, feature in features.items() if key.startswith("observation")}
    config = DiffusionConfig(
        input_features=seen, output_features={"action": features["action"]}, n_obs_steps=FRAMES,
        horizon=HORIZON, n_action_steps=STEPS, down_dims=(16, 32), n_groups=4, crop_shape=None,
        diffusion_step_embed_dim=16, spatial_softmax_num_keypoints=4, num_train_timesteps=20,
        device="cpu", push_to_hub=False,
    )  # fmt: skip
    times = {"action": [step / 10 for step in config.action_delta_indices]}
    times |= {key: [step / 10 for step in config.observation_delta_indices] for key in seen}
    shown = LeRobotDataset("our/data", root=folder, delta_timestamps=times)
    np.testing.assert_array_equal(
        shown[0]["observation.state"][-1].numpy(), data.observations["proprio"][0]
    )
    policy = DiffusionPolicy(config)
    before, after = make_pre_post_processors(config, dataset_stats=shown.meta.stats)
    optimizer, losses = torch.optim.Adam(policy.parameters(), 1e-3), []
    loader = torch.utils.data.DataLoader(shown, batch_size=4, shuffle=True)
    for batch in [batch for _ in range(3) for batch in loader][:24]:
        loss, _ = policy(before(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-6:]) < np.mean(losses[:6])
    for part in (policy, before, after):
        part.save_pretrained(root / "policy")
    return root / "policy"


def test_it_does_what_lerobot_does_with_the_same_noise(trained: Path) -> None:
    prior = load_lerobot_policy(trained, ddim_steps=4)
    assert (prior.latent_dim, prior.horizon) == (2 * HORIZON, STEPS)
    assert str(prior.observation_spec) == "image (32, 32, 6), proprio (4,)"
    stacked = FrameStackObservation(Camera(), FRAMES)
    env = BehavioralPriorWrapper(stacked, prior, image_key="top")
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    chunks = [rng.uniform(-0.9, 0.9, 2 * HORIZON).astype(np.float32) for _ in range(2)]
    infos = [env.step(u)[-1] for u in chunks]

    policy, (before, after) = prior._policy, (prior._before, prior._after)
    policy.reset()
    bare = Camera()
    seen, _ = bare.reset(seed=3)
    for info in infos:
        noise = torch.from_numpy(info["parrot/latent"].reshape(1, HORIZON, 2))
        for action in info["parrot/action"]:
            image = torch.from_numpy(seen["top"]).permute(2, 0, 1)[None] / 255
            state = torch.from_numpy(seen["proprio"])[None]
            batch = before({"observation.image": image, "observation.state": state})
            theirs = after(policy.select_action(batch, noise=noise))[0].numpy()
            np.testing.assert_allclose(np.clip(theirs, -1, 1), action, atol=1e-4)
            seen, *_ = bare.step(action)


def test_stock_sac_acts_in_its_noise(trained: Path) -> None:
    prior = load_lerobot_policy(trained, ddim_steps=2)
    env = BehavioralPriorWrapper(FrameStackObservation(Camera(), FRAMES), prior, image_key="top",
                                 observation="features")  # fmt: skip
    model = SAC("MlpPolicy", env, learning_starts=20, buffer_size=200, device="cpu", seed=0)
    model.learn(75)  # chunks of four env steps
    assert model._n_updates > 40
    assert np.isfinite(model.predict(env.reset(seed=0)[0])[0]).all()
    with pytest.raises(NotOfferedError, match="LeRobotPrior"):
        ActionCriticSAC("MlpPolicy", env)


def test_what_does_not_fit_is_one_error(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="ddim_steps=10"):
        load_lerobot_policy(trained)  # DDPM
    prior = load_lerobot_policy(trained, ddim_steps=2)
    for env in (Camera("wrist", actions=3), Camera("wrist")):
        with pytest.raises(SpaceMismatchError, match="expected the image") as told:
            BehavioralPriorWrapper(FrameStackObservation(env, FRAMES), prior)
        assert ("got shape (3,)" in str(told.value)) == (env.action_space.shape == (3,))
    with pytest.raises(SpaceMismatchError, match=r"\(32, 32, 6\)"):
        BehavioralPriorWrapper(Camera(), prior, image_key="top")
    config = prior._policy.config
    act = ACTConfig(
        input_features=config.input_features, output_features=config.output_features,
        chunk_size=4, n_action_steps=4, dim_model=8, n_heads=2, dim_feedforward=8, device="cpu",
        pretrained_backbone_weights=None, push_to_hub=False,
    )  # fmt: skip
    with pytest.raises(InvalidArgumentError, match="takes noise=.*ACTPolicy"):
        LeRobotPrior(ACTPolicy(act), prior._before, prior._after)
    for name in ("config.json", "model.safetensors", "policy_preprocessor.json"):
        broken = tmp_path / name
        broken.mkdir()
        for path in trained.iterdir():
            content = path.read_bytes()
            (broken / path.name).write_bytes(content[:40] if path.name == name else content)
        with pytest.raises(CheckpointError, match="whole LeRobot policy"):
            load_lerobot_policy(broken, ddim_steps=2)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_lerobot_policy(tmp_path / "nothing")
    assert json.loads((trained / "config.json").read_text())["noise_scheduler_type"] == "DDPM"
