"""`parrot train`: stock SAC in the latent space of a prior."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, make_dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from parrot_wrapper.checks import defaults_of, key_values
from parrot_wrapper.cli.arguments import Option, chosen, group, helps, nesting, option
from parrot_wrapper.cli.durations import announce
from parrot_wrapper.cli.environments import (
    fitting_kwargs,
    make_env,
    packages_of,
)
from parrot_wrapper.cli.evaluate import film_run
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.evaluation.report import rollout_table
from parrot_wrapper.io.tracking import is_tracked, log_film
from parrot_wrapper.priors.registry import MIXTURES
from parrot_wrapper.registry import DEFAULT_PACKAGES, DEFAULT_PRIOR
from parrot_wrapper.rl.config import PRESETS, RawActions, RLConfig, preset_config
from parrot_wrapper.rl.replay.settings import REPLAYS
from parrot_wrapper.surroundings import DEFAULT_THREADS, use_threads

_RAW, _SHARE = RawActions.name, "share"


@dataclass(frozen=True)
class TrainCommand:
    """Train stock SAC in the latent space of a prior; the same command goes on after a kill.

    `--preset paper --help` shows that preset's values. A finished run is only evaluated.

    Attributes:
        out: Folder of the run.
        preset: "features" (this project's defaults) or "paper" (Table 1, from pixels).
        gym_packages: Modules whose import registers env ids.
        episodes: Held-out episodes to evaluate at the end; 0 for none.
        threads: Torch's CPU threads, 0 for torch's own number; more pay on idle cores only.
        progress: Show progress bars.
    """

    out: Path = Path("runs/sac")
    preset: str = "features"
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES
    episodes: int = 100
    threads: int = DEFAULT_THREADS
    progress: bool = True
    settings: ClassVar[Any]

    def run(self) -> None:
        """Train, evaluate the last checkpoint, and say how it went."""
        from parrot_wrapper.rl.evaluation import evaluate_run, steps_of_run
        from parrot_wrapper.rl.train import (
            train,  # brings torch and SB3
            training_seconds_left,
        )

        use_threads(self.threads)
        config = self.config()
        packages = packages_of(self.out, self.gym_packages)
        factory = partial(make_env, gym_packages=packages)
        done = steps_of_run(self.out)
        finished = done >= config.total_steps
        if not finished:
            left = training_seconds_left(config, factory, done=done)
            announce(f"{config.total_steps - done} env steps of training", left)
        train(
            config,
            self.out,
            make_env=factory,
            gym_packages=packages,
            progress=self.progress,
            label=config.env_id,
        )
        print(
            f"{self.out}: {config.total_steps} steps were done before; more with --total-steps."
            if finished
            else f"{self.out}: {config.total_steps} steps."
        )
        if self.episodes:
            label = "evaluation" if self.progress else None
            result = evaluate_run(
                self.out, make_env=factory, episodes=self.episodes, progress=label
            )
            print(rollout_table({str(self.out): result}))
        film = self.out / "rollouts.gif"
        if self.episodes and is_tracked() and film_run(self.out, film, packages=packages):
            log_film(self.out, film)

    def config(self) -> RLConfig:
        """The run's settings."""
        from parrot_wrapper.priors.loading import load_prior

        values = {entry.name: getattr(self.settings, entry.name) for entry in fields(self.settings)}
        prior = None if values["prior"].lower() == "none" else values["prior"]
        kwargs = key_values(values["env_kwargs"])
        if prior is not None:
            live = load_prior(prior)
            packages = packages_of(self.out, self.gym_packages)
            kwargs = fitting_kwargs(values["env_id"], live, kwargs, packages)
        groups = {name: values.pop(name) for name in _groups()}
        given = {
            name: {"kind": name, **asdict(options)}
            for name, options in groups.items()
            if options != type(options)()
        }
        replays = [given[name] for name in REPLAYS if name in given]
        if len(replays) > 1:
            raise InvalidArgumentError(f"Expected options of one replay, got {replays}.")
        more: dict[str, Any] = {
            "prior": prior,
            "env_kwargs": kwargs,
            "kl": _budget(values["kl"]),
            "raw_actions": given.get(_RAW, values["raw_actions"]),
            "mixtures": [given[name] for name in _mixtures() if name in given],
        }
        if replays:
            more["replay"] = replays[0]
        return RLConfig(**{**values, **more})


def command(args: Sequence[str]) -> type[TrainCommand]:
    """The command with the settings of RL as options, which are by default those of a preset."""
    preset = chosen(args, preset=TrainCommand.preset)["preset"]
    default = preset_config(preset, env_id="ParrotGraspCup-v0", prior=DEFAULT_PRIOR)
    made = make_dataclass("Settings", list(_options(default)), frozen=True)
    about = f"One of {', '.join(PRESETS)}: where the other options begin."
    return nesting(TrainCommand, option("preset", str, preset, about), settings=made())


def _budget(text: str) -> float | str | None:
    """The KL budget that a word of the command line means."""
    if text == "auto":
        return text
    try:
        return float(text) or None
    except ValueError:
        raise InvalidArgumentError(f"Expected nats, auto or 0 for --kl, got {text!r}.") from None


def _options(default: RLConfig) -> Iterator[Option]:
    hints, told = get_type_hints(RLConfig), helps(RLConfig)
    # as words of a command line have them
    values = {"raw_actions": False, "kl": str(default.kl or 0)}
    kinds = {"prior": str, "raw_actions": bool, "kl": str, "ent_coef": str}
    more = {"kl": " 0 is the same as None."}
    for entry in fields(RLConfig):
        name = entry.name
        if name not in ("mixtures", "replay"):
            value, about = values.get(name, getattr(default, name)), told[name] + more.get(name, "")
            yield option(name, kinds.get(name, hints[name]), value, about)
    for name, kind in _groups().items():
        yield _group(name, kind)


def _mixtures() -> list[str]:
    """Names of the mixtures, from the inside out: those of other packages are the inner ones."""
    return MIXTURES.names()[::-1]


def _groups() -> dict[str, type[Any]]:
    """Dataclasses whose options are groups, by name; left out where all are as by default."""
    mixtures = {name: MIXTURES.get(name).config_class for name in _mixtures()}
    return {_RAW: RawActions, **mixtures, **REPLAYS}


def _group(name: str, kind: type[Any]) -> Option:
    hints, told = get_type_hints(kind), helps(*reversed(kind.__mro__))
    shown = defaults_of(kind)
    if _SHARE in shown:
        shown[_SHARE], told[_SHARE] = 0.0, f"{told[_SHARE]} 0 leaves it out."
    hints |= {key: hints[key] | None for key, value in shown.items() if value is None}
    return group(name, [option(key, hints[key], shown[key], told[key]) for key in shown])
