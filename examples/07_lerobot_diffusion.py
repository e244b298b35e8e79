"""A diffusion policy of LeRobot as the prior: trained on our data, improved by SAC in its noise.

It needs `pip install lerobot`. `two_marks.py` beside this file has the env and a demonstrator, who
goes to either mark; the task is the one on the right.
"""

import argparse
from pathlib import Path

import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import dataset_to_policy_features
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.policies.factory import make_pre_post_processors
from two_marks import Demonstrator, TwoMarks

from parrot_wrapper.data.exchange import export_lerobot
from parrot_wrapper.evaluation.policies import UniformActions
from parrot_wrapper.evaluation.rollouts import evaluate
from parrot_wrapper.priors.lerobot_policy import load_lerobot_policy
from parrot_wrapper.record.policy_episodes import record_policy
from parrot_wrapper.rl.config import RLConfig
from parrot_wrapper.rl.model import build_model, wrap_env

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", type=Path, default=Path("runs/lerobot-diffusion"))
parser.add_argument("--policy-steps", type=int, default=400)
parser.add_argument("--steps", type=int, default=2_000)
parser.add_argument("--rollouts", type=int, default=50)
args = parser.parse_args()

data = record_policy(TwoMarks(), Demonstrator(), episodes=60, only_successes=False)
folder = export_lerobot(data, args.out / "data")

# LeRobot's own way to train; its command lerobot-train does the same
features = dataset_to_policy_features(LeRobotDataset("my/marks", root=folder).meta.features)
seen = {key: feature for key, feature in features.items() if key.startswith("observation")}
config = DiffusionConfig(
    input_features=seen, output_features={"action": features["action"]}, n_obs_steps=1,
    horizon=8, n_action_steps=4, down_dims=(32, 64), device="cpu", push_to_hub=False,
)  # fmt: skip
times = {"action": [step / 10 for step in config.action_delta_indices]}
times |= {key: [0.0] for key in seen}
shown = LeRobotDataset("my/marks", root=folder, delta_timestamps=times)
[every] = torch.utils.data.DataLoader(shown, batch_size=len(shown))  # few enough for memory
policy = DiffusionPolicy(config)
before, after = make_pre_post_processors(config, dataset_stats=shown.meta.stats)
optimizer = torch.optim.Adam(policy.parameters(), 1e-3)
for _ in range(args.policy_steps):
    rows = torch.randint(len(shown), (64,))
    loss, _ = policy(before({key: every[key][rows] for key in (*times, "action_is_pad")}))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
for part in (policy, before, after):
    part.save_pretrained(args.out / "policy")

prior = load_lerobot_policy(args.out / "policy", ddim_steps=5)
settings = RLConfig("TwoMarks", prior="lerobot", learning_starts=100, device="cpu")
wrapped = wrap_env(TwoMarks(), settings, prior)
agent = build_model(settings, wrapped, prior).learn(args.steps // prior.horizon)
for name, acting in {"samples": UniformActions(wrapped), "SAC in its noise": agent}.items():
    result = evaluate(acting, wrapped, episodes=args.rollouts)
    print(f"{name}: at the mark on the right in {result.success.value:.0%}")
