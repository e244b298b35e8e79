"""Every measure of a prior, on a toy whose answers are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parrot_wrapper.data import Episode, EpisodeDataset
from parrot_wrapper.errors import DataError, InvalidArgumentError
from parrot_wrapper.evaluation.cloning import (
    CloneResult,
    Cloning,
    Reachability,
    clone_in_latent,
    measure_reachability,
)
from parrot_wrapper.evaluation.judge import Judgement, JudgeSettings, judge_prior
from parrot_wrapper.evaluation.likelihood import measure_likelihood
from parrot_wrapper.evaluation.pictures import (
    film,
    save_gif,
    save_trajectories,
    tells_positions,
    trace,
)
from parrot_wrapper.evaluation.policies import PriorSamples, ScriptedExpert, UniformActions
from parrot_wrapper.evaluation.recordings import Recording, record, recording_of
from parrot_wrapper.evaluation.regression import (
    FitSettings,
    KeyframeError,
    probe_features,
)
from parrot_wrapper.evaluation.report import judgement_text, rollout_table
from parrot_wrapper.evaluation.rollouts import EpisodeOutcome, EvaluationResult
from tests.evaluation.toy_reach import STATE, MuteReach, ToyReach
from tests.helpers import AffinePrior, EchoEnv

QUICK = FitSettings(hidden=64, epochs=40, patience=40)


@pytest.fixture(scope="module")
def recording() -> Recording:
    env = ToyReach()
    return record(env, AffinePrior(STATE), ScriptedExpert(env), episodes=60)


def test_intention_is_recorded_beside_what_is_done_and_not_executed(recording: Recording) -> None:
    env = ToyReach()
    noiseless = ScriptedExpert(env, noise=0.0)
    both = record(env, AffinePrior(STATE), ScriptedExpert(env), intention=noiseless, episodes=60)
    np.testing.assert_array_equal(both.actions, recording.actions)
    assert recording.intended is None
    assert both.intended is not None
    difference = both.actions - both.intended
    assert 0.03 < difference.std() < 0.15
    chosen = both.take(np.array([3, 5]))
    np.testing.assert_array_equal(chosen.intended, both.intended[[3, 5]])


def states(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 4)).astype(np.float32)


def drawn_from(prior: AffinePrior, count: int) -> Recording:
    seen = states(count)
    noise = np.random.default_rng(1).standard_normal((count, 2)).astype(np.float32)
    return Recording(
        seen, prior.decode(noise, seen), np.arange(count) // 5, np.ones(count // 5, bool)
    )


def test_likelihood_of_a_priors_own_samples_is_its_entropy() -> None:
    prior = AffinePrior(STATE, scale=0.2)
    found = measure_likelihood(prior, drawn_from(prior, 4000), rng=np.random.default_rng(0))
    entropy = 2 * (0.5 * np.log(2 * np.pi * np.e) + np.log(0.2))
    assert found.nll == pytest.approx(entropy, abs=0.05)
    assert found.nll_per_dimension == pytest.approx(found.nll / 2)
    assert found.inversion_error < 1e-6
    assert np.abs(found.latent_mean).max() < 0.06
    assert np.abs(np.array(found.latent_std) - 1).max() < 0.06
    assert max(found.latent_ks) < 0.04
    assert 0.0 < found.box_exits < 0.2
    assert json.dumps(found.to_dict())


def test_clones_of_the_expert_succeed(recording: Recording) -> None:
    result = clone_in_latent(ToyReach(), AffinePrior(STATE), recording, episodes=10, settings=QUICK)
    assert recording.success_rate.value > 0.9
    assert result.latent.unexplained < 0.2
    assert result.privileged is not None
    for clone in (result.latent, result.action, result.privileged):
        assert clone.rollouts.success.value >= 0.7


def test_reachability_falls_with_the_limit() -> None:
    prior = AffinePrior(STATE, scale=0.15)
    found = measure_reachability(ToyReach(), prior, limits=(0.2, 10.0), episodes=10)
    near, far = (result.success.value for result in found.rollouts)
    assert near < 0.5 < 0.9 <= far
    assert set(found.to_dict()) == {"0.2", "10"}


def test_probe_finds_what_the_features_hold(recording: Recording) -> None:
    probe = probe_features(AffinePrior(STATE), recording, settings=QUICK)
    assert probe is not None
    assert [row.name for row in probe.rows] == ["landmark 0", "gripper"]
    for row in probe.rows:
        assert row.spread[0] > 20.0
        assert max(row.ridge[:2]) < 1.0
        assert row.mlp[2] < 0.1


def test_everything_at_once(recording: Recording) -> None:
    env, prior = ToyReach(), AffinePrior(STATE, scale=0.5)
    settings = JudgeSettings(episodes=4, expert_episodes=10, limits=(3.0,), progress=False)
    data = EpisodeDataset.from_episodes(
        [
            Episode({"state": states(4, seed)}, states(3)[:, :2], np.zeros(3), True, 0)
            for seed in (1, 2)
        ]
    )
    judgement = judge_prior(prior, env, dataset=data, settings=settings)
    assert set(judgement.skipped) == {"next keyframe"}  # a state has none
    text = judgement_text(judgement, prior_name="toy")
    for expected in (
        "# Prior toy in ToyReach",
        "| samples of the prior ",
        "| expert, |z| <= 3 ",
        "z from state (control)",
        "| NLL, median (nats) ",
        "| landmark 0 |",
    ):
        assert expected in text
    stored = json.loads(json.dumps(judgement.to_dict(), allow_nan=False))
    assert stored["samples"]["success"]["episodes"] == 4
    assert stored["on_data"]["steps"] == 6


class Pairs(AffinePrior):
    """Chunks of two actions, each driven by two of four latent dimensions."""

    def __init__(self) -> None:
        super().__init__(STATE, scale=0.5, horizon=2)
        self.latent_dim = 4

    def decode_features(self, z: Any, features: Any) -> Any:
        assert z.shape == (len(features), 4)
        return np.clip(0.5 * z.reshape(-1, 2, 2) + self.shift(features)[:, None], -9, 9)

    def encode_features(self, action: Any, features: Any) -> Any:
        return ((action - self.shift(features)[:, None]) / np.float32(0.5)).reshape(-1, 4)


def test_priors_of_chunks_are_judged_by_every_measure() -> None:
    """Eight steps in chunks of two, each of whose actions is free: the expert fits in."""
    settings = JudgeSettings(episodes=6, expert_episodes=60, limits=(0.1, 9.0), progress=False)
    data = EpisodeDataset.from_episodes(
        [
            Episode({"state": states(n + 1, n)}, states(n)[:, :2], np.zeros(n), True, 0)
            for n in (5, 2, 1)
        ]
    )
    judgement = judge_prior(Pairs(), ToyReach(), dataset=data, settings=settings)
    assert set(judgement.skipped) == {"next keyframe"}  # a state has none
    assert judgement.on_data is not None and judgement.on_data.steps == 3 * 2  # whole chunks only
    assert judgement.on_expert is not None and judgement.on_expert.inversion_error < 1e-5
    assert judgement.reachability is not None and judgement.cloning is not None
    near, far = (result.success.value for result in judgement.reachability.rollouts)
    assert near < 0.5 < 0.9 <= far
    assert judgement.cloning.latent.rollouts.success.value >= 0.5
    assert judgement.cloning.steps > 400
    short = EpisodeDataset.from_episodes([data.episode(2)])
    again = judge_prior(Pairs(), MuteReach(ToyReach()), dataset=short, settings=settings)
    assert "at least 2 steps" in again.skipped["likelihood on data"]


def rolled(successes: int, episodes: int = 100, *, told: bool = True) -> EvaluationResult:
    """Rollouts of which so many succeeded."""
    return EvaluationResult(
        tuple(
            EpisodeOutcome(k, 1, 0.0, k < successes, k < successes, success_told=told)
            for k in range(episodes)
        )
    )


def cloned(latent: int, action: int = 99, privileged: int = 99) -> Cloning:
    return Cloning(*(CloneResult(0.5, rolled(n)) for n in (latent, action, privileged)), 9)


@pytest.mark.parametrize(
    ("parts", "status", "told"),
    [
        ({"cloning": cloned(97)}, "ready", "Cloning in z"),
        ({"cloning": cloned(92), "reachability": Reachability((1.5,), (rolled(80),))}, "ready", ""),
        (
            {"cloning": cloned(97), "reachability": Reachability((1.5,), (rolled(35),))},
            "doubtful",
            "0.35",
        ),
        ({"cloning": cloned(85)}, "doubtful", "should be 0.92"),
        ({"cloning": cloned(7)}, "not ready", "not smooth"),
        ({"cloning": cloned(7, action=20)}, "not ready", "features lack something"),
        ({"cloning": cloned(7, 20, 20)}, "not ready", "controls fail"),
        ({"cloning": cloned(50), "expert": {"value": 0.5}}, "ready", "the task in 0.50"),
        ({"samples": rolled(0), "cloning": cloned(97)}, "not ready", "no more than uniform"),
        ({"samples": rolled(30), "uniform": rolled(40)}, "not ready", "no more than uniform"),
        ({}, "ready", "0.07 was enough"),
        ({"samples": rolled(3)}, "doubtful", "0.03"),
        ({"keyframes": KeyframeError(0.42, 0.3, 2, 9)}, "ready", "0.07 was enough"),
        ({"keyframes": KeyframeError(0.51, 0.3, 2, 9)}, "doubtful", "leave 0.51"),
        (
            {"keyframes": KeyframeError(0.51, 0.3, 2, 9), "cloning": cloned(97)},
            "ready",
            "Cloning in z",
        ),
        ({"samples": rolled(4, 8)}, "unclear", "too few"),
        ({"samples": rolled(0, told=False)}, "unclear", "does not tell of success"),
    ],
)
def test_verdicts(parts: dict[str, Any], status: str, told: str) -> None:
    given = {"uniform": rolled(0), "samples": rolled(20), "expert": {"value": 1.0}, **parts}
    judgement = Judgement("Toy-v0", **given)
    verdict = judgement.verdict
    assert (verdict.status, verdict.ready) == (status, status == "ready")
    assert told in str(verdict)
    assert judgement_text(judgement, prior_name="toy").rstrip().endswith(str(verdict))
    assert json.loads(json.dumps(judgement.to_dict()))["verdict"]["status"] == status


def test_columns_that_the_env_cannot_fill_are_left_out() -> None:
    header = rollout_table({"a": rolled(1, told=False)}).splitlines()[0].split()
    assert header == ["|", "policy", "|", "return", "|"]
    assert "any lifted" not in rollout_table({"a": rolled(1)})


def test_what_is_missing_is_skipped_and_said() -> None:
    class NoInverse(AffinePrior):
        def encode_features(self, action: Any, features: Any) -> Any:
            raise NotImplementedError("decoder only")

    settings = JudgeSettings(episodes=2, expert_episodes=5, progress=False)
    mute = judge_prior(AffinePrior(STATE), MuteReach(ToyReach()), settings=settings)
    assert set(mute.skipped) == {
        "likelihood on data",
        "next keyframe",
        "likelihood on expert",
        "cloning in z",
        "reachability",
        "probe",
    }
    assert "no scripted expert" in judgement_text(mute, prior_name="toy")
    one_way = judge_prior(NoInverse(STATE), ToyReach(), settings=settings)
    assert "not invertible (decoder only)" in one_way.skipped["reachability"]
    assert one_way.probe is not None


def test_demonstrations_are_cloned_where_there_is_no_expert(recording: Recording) -> None:
    ends = np.append(np.flatnonzero(np.diff(recording.episodes)) + 1, len(recording))
    seen = np.insert(np.arange(len(recording)), ends, ends - 1)  # of each episode the last twice
    lengths = np.diff(ends, prepend=0)
    env, settings = MuteReach(ToyReach()), JudgeSettings(episodes=40, progress=False)
    for made_in, cloned in (("MuteReach", True), (None, True), ("Another-v0", False)):
        data = EpisodeDataset.from_arrays(
            recording.observations[seen],
            recording.actions,
            lengths,
            success=recording.success,
            metadata={"settings": {"env_id": made_in}},
        )
        judged = judge_prior(AffinePrior(STATE), env, dataset=data, settings=settings)
        assert (judged.cloning is not None) == cloned == ("cloning in z" not in judged.skipped)
        if cloned:
            assert judged.cloning.latent.rollouts.success.value > 0.9
            assert judged.expert == recording.success_rate.to_dict()
    assert "no demonstrations of it" in judged.skipped["cloning in z"]


def test_recordings_refuse_what_does_not_fit() -> None:
    episodes = [Episode({"state": states(4)}, states(3)[:, :2], np.zeros(3), True, 0)] * 2
    data = EpisodeDataset.from_episodes(episodes)
    rng = np.random.default_rng(0)
    assert len(recording_of(data, AffinePrior(STATE), steps=4, rng=rng)) == 4
    with pytest.raises(DataError, match="lacks image"):
        recording_of(data, AffinePrior(), steps=4, rng=rng)
    failed = Recording(states(2), states(2)[:, :2], np.array([0, 1]), np.zeros(2, bool))
    with pytest.raises(DataError, match="None of the 2"):
        failed.successful()


def test_pictures_and_films(tmp_path: Path) -> None:
    env, prior = ToyReach("rgb_array"), AffinePrior(STATE)
    frames = film(env, ScriptedExpert(env), episodes=2)
    assert len(frames) == 2 * (9 + 4)
    assert frames[-1][0, 0].tolist() == [40, 180, 60]
    save_gif(tmp_path / "film.gif", frames)
    assert (tmp_path / "film.gif").read_bytes()[:3] == b"GIF"
    panels = {
        "prior": trace(env, PriorSamples(env, prior), trajectories=3),
        "uniform": trace(env, UniformActions(env), trajectories=3),
    }
    assert panels["prior"].landmarks.shape == (1, 2)
    starts = [points[0] for points in panels["prior"].points]
    np.testing.assert_array_equal(starts[0], starts[1])
    save_trajectories(tmp_path / "paths.png", panels)
    assert (tmp_path / "paths.png").read_bytes()[1:4] == b"PNG"
    assert {paths.unit for paths in panels.values()} == {"cm"}
    assert [len(points) for points in panels["prior"].points] == [9, 9, 9]
    with pytest.raises(InvalidArgumentError, match="at least one frame"):
        save_gif(tmp_path / "none.gif", [])


class Placed(ToyReach):
    """Tells its position in a unit of its own, and nothing else."""

    def privileged_labels(self) -> dict[str, Any]:
        return {"position": np.float32([*self.point, 7.0])}


def test_paths_need_positions(tmp_path: Path) -> None:
    env = Placed()
    paths = trace(env, UniformActions(env), trajectories=2)
    assert tells_positions(env)
    assert (paths.unit, paths.landmarks) == ("", None)
    np.testing.assert_array_equal(paths.points[-1][-1], np.float32(env.point))
    save_trajectories(tmp_path / "paths.png", {"uniform": paths})
    silent = EchoEnv("state")
    silent.reset(seed=0)
    assert not tells_positions(silent)
    with pytest.raises(InvalidArgumentError, match="'gripper' or 'position'"):
        trace(silent, UniformActions(silent), trajectories=1)


def test_films_fall_back_to_image_observations() -> None:
    env = EchoEnv()
    frames = film(env, UniformActions(env), episodes=1)
    assert frames[0].shape == (200, 220, 3)
    silent = EchoEnv("state")
    assert film(silent, UniformActions(silent), episodes=1) == []
