"""What a judgement comes to: is a prior ready for RL, because of which figure, and what is next.

The bounds are the project's own pairs of (measure of a prior, success of SAC with it):

- Cloning in z, success of the clone to that of SAC, both on the same input: 0.07 to 0.25; 0.70 to
  0.60; 0.90 to 0.22; 0.92 to 0.94; 0.93 to 0.67; 0.95 to 0.66; 0.96 to 0.62; 0.99 to 0.96; 1.00 to
  0.97. One seed each.
- The expert clipped to |z| <= 1.5: 0.35 to 0.35; 0.71 to 0.66; 1.00 to 0.96.
- Samples that do the task at some time: 0.07 to 0.78; 0.11 to 0.66; 0.15 to 0.89; 0.24 and above to
  0.93 and above. Priors of grasping only have one success of SAC in 1,200 episodes of placing.
- Error of the next keyframe, of priors of the same data, to SAC on the cup: 0.42 to 0.94 and 0.88;
  0.44 to 0.96; 0.47 to 0.81; 0.51 to 0.71 and 0.66. One env, so that it only raises doubts.

Likelihood is left out: of two priors with the same one, SAC reached 0.25 and 0.66.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from parrot_wrapper.evaluation.judge import Judgement
    from parrot_wrapper.evaluation.rollouts import Rate

CLONE_READY, CLONE_DOUBTFUL = 0.92, 0.70
CLIPPED_READY, CLIPPED_LIMIT = 0.70, 1.5
SAMPLES_READY = 0.07
KEYFRAME_READY = 0.45
EXPERT_WANTED = 0.9
"""A clone is no better than its expert; those behind the bounds of cloning hardly ever failed."""
FEW_EPISODES = 30
"""With fewer, an interval is wider than all that the bounds tell apart."""

Status = Literal["ready", "doubtful", "not ready", "unclear"]


@dataclass(frozen=True)
class Verdict:
    """Whether a prior is worth RL in an env.

    Attributes:
        status: "ready", "doubtful" (RL may learn something), "not ready", or "unclear" where
            nothing that was measured can decide.
        measure: The figure that decided.
        value: Its value; a share of episodes in [0, 1], or a mean return where the env does not
            tell of success.
        wanted: What it has to be for "ready", at least, an error at most; None where there is no
            such bound.
        reason: Both in a sentence.
        advice: What to do next.

    Example:
        >>> verdict = Verdict("ready", "cloning in z", 0.97, 0.93, "It is 0.97.", "Train.")
        >>> verdict.ready, str(verdict)
        (True, 'Ready for RL. It is 0.97. Train.')
    """

    status: Status
    measure: str
    value: float
    wanted: float | None
    reason: str
    advice: str

    @property
    def ready(self) -> bool:
        """Whether RL is worth its time."""
        return self.status == "ready"

    def __str__(self) -> str:
        """All of it in a few sentences."""
        heads = {
            "ready": "Ready for RL.",
            "doubtful": "Doubtful: RL may learn something, but not well.",
            "not ready": "Not ready for RL.",
            "unclear": "Unclear whether it is ready for RL.",
        }
        return f"{heads[self.status]} {self.reason} {self.advice}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return asdict(self)


def reach_verdict(judgement: Judgement) -> Verdict:
    """The verdict on a judgement, by the measure that tells most of those that there are."""
    samples, uniform = judgement.samples, judgement.uniform
    if not samples.tells_success:
        return _by_returns(judgement)
    if len(samples.episodes) < FEW_EPISODES:
        return Verdict(
            "unclear",
            _SAMPLES,
            samples.success_once.value,
            SAMPLES_READY,
            f"{len(samples.episodes)} episodes for each policy are too few to tell; samples of "
            f"the prior do the task at some time in {samples.success_once} of them.",
            "Judge it with 100 episodes (--episodes 100).",
        )
    if samples.success_once.value <= uniform.success_once.value:
        return Verdict(
            "not ready",
            _SAMPLES,
            samples.success_once.value,
            SAMPLES_READY,
            f"Samples of the prior do the task at some time in {samples.success_once} of the "
            f"episodes, which is no more than uniform actions do ({uniform.success_once}); it "
            f"should be more, and {SAMPLES_READY} at least.",
            "Watch the samples (samples.gif, parrot watch), then train the prior longer or add "
            "demonstrations that do what this task needs.",
        )
    expert = (judgement.expert or {}).get("value", 0.0)
    if judgement.cloning is None or expert < EXPERT_WANTED:
        return _by_samples(judgement)
    return _by_cloning(judgement)


_SAMPLES = "samples of the prior, success ever"


def _by_returns(judgement: Judgement) -> Verdict:
    got, base = judgement.samples.mean_return, judgement.uniform.mean_return
    return Verdict(
        "unclear",
        "samples of the prior, return",
        got,
        None,
        f"The env does not tell of success. The mean return of samples of the prior is {got:.3g}, "
        f"of uniform actions {base:.3g}; it should be clearly more.",
        "Put info['is_success'] into every step of the env and judge again, or try RL and compare "
        "it with plain SAC.",
    )


def _by_samples(judgement: Judgement) -> Verdict:
    share = judgement.samples.success_once
    if judgement.cloning is not None and judgement.expert is not None:
        missing = f"the env's own expert does the task in {judgement.expert['value']:.2f} only"
    else:
        missing = judgement.skipped.get("cloning in z", "it was not measured")
    enough = share.value >= SAMPLES_READY
    told = (
        f"Samples of the prior do the task at some time in {share} of the episodes; "
        f"{SAMPLES_READY} was enough for SAC. Cloning in z, which tells more, says nothing here: "
        f"{missing}."
    )
    error = None if judgement.keyframes is None else judgement.keyframes.unexplained
    if enough and error is not None and error > KEYFRAME_READY:
        return Verdict(
            "doubtful",
            "error of the next keyframe",
            error,
            KEYFRAME_READY,
            f"{told} But the features leave {error:.2f} of the variance of ways to the next "
            f"keyframe unexplained; with {KEYFRAME_READY} or less SAC reached 0.88 to 0.96 on our "
            "cup, with 0.47 to 0.51 it reached 0.66 to 0.81.",
            "Train the encoder longer (--steps, --sight-share), or try RL and see.",
        )
    return Verdict(
        "ready" if enough else "doubtful",
        _SAMPLES,
        share.value,
        SAMPLES_READY,
        told,
        "Train an agent with it (parrot train)."
        if enough
        else "Train the prior longer or add demonstrations that do what this task needs, and "
        "judge it with more episodes.",
    )


def _by_cloning(judgement: Judgement) -> Verdict:
    cloning = judgement.cloning
    assert cloning is not None
    share = cloning.latent.rollouts.success
    told = f"Cloning in z from the prior's features does the task in {share} of the episodes"
    name = "cloning in z, success at end"
    if share.value >= CLONE_READY:
        return _by_reachability(judgement, share, name, f"{told}; {CLONE_READY} was enough for SAC")
    doubtful = share.value >= CLONE_DOUBTFUL
    known = (
        f"between {CLONE_DOUBTFUL:.2f} and {CLONE_READY} SAC reached 0.22 to 0.60"
        if doubtful
        else "with 0.07 SAC reached 0.25"
    )
    reason = f"{told}, and it should be {CLONE_READY}; {known}."
    status: Status = "doubtful" if doubtful else "not ready"
    return Verdict(status, name, share.value, CLONE_READY, reason, _cure(judgement))


def _by_reachability(judgement: Judgement, share: Rate, name: str, reason: str) -> Verdict:
    """Good clones; does the task lie within the middle of the prior too?"""
    found = judgement.reachability
    rates = {} if found is None else dict(zip(found.limits, found.rollouts, strict=True))
    clipped = rates.get(CLIPPED_LIMIT)
    if clipped is not None and clipped.success.value < CLIPPED_READY:
        return Verdict(
            "doubtful",
            f"expert clipped to |z| <= {CLIPPED_LIMIT}, success at end",
            clipped.success.value,
            CLIPPED_READY,
            f"Clipped to |z| <= {CLIPPED_LIMIT}, the expert does the task in {clipped.success} of "
            f"the episodes, and it should be {CLIPPED_READY:.2f}; SAC reached about as much.",
            "The prior finds what this task needs unlikely: add demonstrations like it, train "
            "longer, or give RL a larger KL budget (--kl 10).",
        )
    return Verdict(
        "ready",
        name,
        share.value,
        CLONE_READY,
        f"{reason}.",
        "Train an agent with it (parrot train).",
    )


def _cure(judgement: Judgement) -> str:
    """What to do about clones that fail, by the two controls."""
    cloning = judgement.cloning
    assert cloning is not None
    by_actions = cloning.action.rollouts.success.value >= CLONE_READY
    state = cloning.privileged
    by_state = state is not None and state.rollouts.success.value >= CLONE_READY
    if by_actions:
        return (
            "The features tell what to do (the clone of actions is good), so the latent is not "
            "smooth in them: train longer, with more noise in the demonstrations, or with "
            "--jacobian 0.1."
        )
    if by_state:
        return (
            "The latent is smooth (the clone from the simulator's state is good), so the features "
            "lack something: train longer, use another encoder or more varied data, and look at "
            "the probe."
        )
    return (
        "The controls fail too: take more expert episodes (--expert-episodes), train the prior "
        "longer, or look whether the expert can be cloned at all."
    )
