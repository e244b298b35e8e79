"""Users' mistakes in every command: one line that says what is right, exit code 2, nothing left."""

from pathlib import Path

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.data import EpisodeDataset, save_dataset
from tests.expert_env import ENV_ID

pytest.importorskip("pybullet")

COLLECT = f"collect --env-id {ENV_ID} --out made --gym-packages tests.expert_env --no-progress"
IMPORT = "data import arrays demos made --no-progress"
WATCH = "watch ParrotGraspCup-v0"
TRAIN = "train --env-id ParrotGraspCup-v0 --prior {prior} --out made --no-progress"
MISTAKES = [
    (f"{COLLECT} --env-id Raech-v0", "environment id 'Raech-v0'. Did you mean 'Reach-v0'"),
    (f"{COLLECT} --env-id CartPoll-v1", "Did you mean 'CartPole-v1'"),
    (f"{COLLECT} --env-id nowhere:Reach-v0", "nowhere"),
    (f"{COLLECT} --env-kwargs obz=image", "['obz']"),
    (f"{COLLECT} --env-kwargs image", "key=value, got 'image'"),
    (f"{COLLECT} --env-kwargs =3", "key=value"),
    (f"{COLLECT} --gym-packages no_such_pkg", "'no_such_pkg'"),
    (f"{COLLECT} --episodes 0", "n_episodes >= 1, got 0"),
    ("data show nowhere", "dataset.json, found none"),
    ("data show data --sheet x.png", "Expected a data set with images, got state only"),
    ("data show data --sheet x.jpg", "ends in .png, got x.jpg"),
    ("data import arrays nowhere made --no-progress", "folder of them, found none"),
    ("data import arrays demos data --no-progress", "new or empty folder"),
    (f"{IMPORT} --image-key cam", "Did you mean 'camera'"),
    (f"{IMPORT} --action-low 0 0 --action-high 1 1", "fit 3 action dimensions"),
    ("data import arrays buffer.pkl made --no-progress", "looks like a pickle"),
    ("data export minari nowhere x-v0", "dataset.json, found none"),
    ("experiment", "Expected a study (main, data-size, mismatch, agent, exploration) or --grid"),
    ("experiment main --grid x.json", "and not both"),
    ("experiment man", "Unknown study 'man'. Did you mean 'main'"),
    ("experiment main --setting papr", "Did you mean 'paper'"),
    ("experiment --grid x.json", "x.json: expected a grid's JSON"),
    ("experiment main --only method", "form key=value, got 'method'"),
    ("experiment main --only metod=sac", "Did you mean 'method'"),
    ("experiment main --only method=sca", "Did you mean 'sac'"),
    ("experiment main --seeds -1", "rl_seeds as a list of different integers"),
    ("experiment main --workers -1", "workers >= 1 and max_minutes >= 0, got -1"),
    ("experiment main --max-minutes -1", "workers >= 1 and max_minutes >= 0"),
    ("watch ParrotGrspCup-v0", "Did you mean 'ParrotGraspCup-v0'"),
    (f"{WATCH} --policy scriptet", "Unknown policy 'scriptet'. Did you mean 'scripted'"),
    (f"{WATCH} --policy prior", "Did you mean 'prior:NAME'"),
    (f"{WATCH} --policy agnet:x", "Did you mean 'agent:PATH'"),
    (f"{WATCH} --policy uniform:x", "Did you mean 'uniform'"),
    (f"{WATCH} --policy prior:parot-v0", "Unknown prior 'parot-v0'"),
    (f"{WATCH} --policy agent:nowhere", "nowhere"),
    (f"{WATCH} --episodes 0", "Expected episodes >= 1, got 0"),
    (f"{WATCH} --env-kwargs obs=imago", "Did you mean 'image'"),
    ("watch Pendulum-v1 --policy scripted", "make_expert"),
    ("watch CartPole-v1", "bounded Box action space"),
    (f"{TRAIN} --env-id ParrotGraspCup-v9", "Did you mean 'ParrotGraspCup-v0'"),
    (f"{TRAIN} --prior parot-v0", "Unknown prior 'parot-v0'"),
    (f"{TRAIN} --preset papers", "Did you mean 'paper'"),
    (f"{TRAIN} --latent gausian", "Did you mean 'gaussian'"),
    (f"{TRAIN} --initial-actor runs/clone", "initial_actor='runs/clone' needs raw_actions"),
    ("evaluate --run data", "settings of an RL run"),
    ("info demos", "dataset.json or prior.json"),
    ("info no-such-prior", "no-such-prior"),
    ("colect", "Did you mean 'collect'"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistakes_are_one_line_and_leave_nothing(
    words, message, prior_folder, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("parrot_wrapper.cli.watch.render_kwargs", lambda *a, **k: {})
    Path("demos").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    for index in range(2):
        np.savez(f"demos/{index}.npz", camera=images, actions=np.eye(4)[:, :3])
    save_dataset(EpisodeDataset.from_arrays(np.zeros((4, 3)), np.eye(3), [3]), "data")
    assert main(words.format(prior=prior_folder).split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("parrot: ") and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"demos", "data"}
