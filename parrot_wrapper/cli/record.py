"""`parrot record`: demonstrations by keyboard or gamepad, in a window."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from parrot_wrapper.checks import key_values
from parrot_wrapper.cli.environments import make_env, render_kwargs, require_env_id
from parrot_wrapper.errors import InvalidArgumentError, needed_extra
from parrot_wrapper.evaluation.pictures import frame_of
from parrot_wrapper.record.human_episodes import DISCARD, KEEP, QUIT, UNDO, Wish, record_human
from parrot_wrapper.registry import DEFAULT_PACKAGES
from parrot_wrapper.types import ImageArray

PAIRS = ("ad", "sw", "fr", "jl", "ki", "ho", "nm")
"""Keys that move each number of the action down and up, from the first on."""
COMMANDS = {"return": KEEP, "backspace": DISCARD, "u": UNDO, "escape": QUIT}
BUTTONS = {1: KEEP, 2: DISCARD, 3: UNDO, 6: QUIT}
"""Of a gamepad; button 0 switches, and its axes move the numbers of the action."""
_STILL = 0.15
"""Of an axis, which never rests at exactly 0."""
_WIDTH, _LINE = 512, 24


@dataclass(frozen=True)
class RecordCommand:
    """Record your own demonstrations in a window, by keyboard or gamepad.

    Keys a/d, s/w, f/r, j/l, k/i, h/o and n/m move the numbers of the action, space switches the one
    of --switch. Return keeps an episode, backspace throws it away, u takes back the last one that
    was kept, escape ends. The same command goes on with the data set.

    Attributes:
        env_id: A registered id, or module:id.
        out: Folder of the data set.
        episodes: How many it shall have in the end; 0 for no limit.
        switch: The number of the action, from 0 on, that space switches between its ends, such as
            that of a hand; -1 for the last one, none where left out.
        speed: How far keys and sticks move a number, as a share of its half-width.
        noise: Standard deviation of noise on the actions, as a share of their half-width.
        fps: Moments a second.
        waits: Make steps only while something is held.
        seed: Attempt k is reset with seed + k.
        image_key: Where a Dict observation has the image that a prior is to look at, or several.
        proprio_key: The same for proprioception; several are joined.
        state_key: The same for the state.
        env_kwargs: Options of the env as key=value.
        gym_packages: Modules whose import registers env ids.
    """

    env_id: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENV_ID")]
    out: Path = Path("datasets/human")
    episodes: int = 0
    switch: int | None = None
    speed: float = 1.0
    noise: float = 0.1
    fps: float = 10.0
    waits: bool = True
    seed: int = 0
    image_key: tuple[str, ...] = ()
    proprio_key: tuple[str, ...] = ()
    state_key: tuple[str, ...] = ()
    env_kwargs: tuple[str, ...] = ()
    gym_packages: tuple[str, ...] = DEFAULT_PACKAGES

    def run(self) -> None:
        """Open the window and record."""
        require_env_id(self.env_id, self.gym_packages)
        kwargs = {**key_values(self.env_kwargs), **render_kwargs(self.env_id)}
        env = make_env(self.env_id, gym_packages=self.gym_packages, **kwargs)
        with closing(env):
            dims = int(np.prod(env.action_space.shape or ()))
            with closing(Window(self.env_id, dims, self.switch, self.speed, self.fps)) as window:
                count = record_human(
                    env,
                    self.out,
                    window,
                    picture=frame_of,
                    episodes=self.episodes,
                    noise=self.noise,
                    seed=self.seed,
                    waits=self.waits,
                    keys={
                        "image_key": self.image_key or None,
                        "proprio_key": self.proprio_key or None,
                        "state_key": self.state_key or None,
                    },
                )
        print(f"{self.out}: {count} episodes.")


class Window:
    """What keys and sticks say, from pygame's events; `Controls` of `record_human`.

    Args:
        title: Of the window.
        dims: Numbers of an action.
        switch: Which of them the switch drives; None for none.
        speed: How far a held key moves a number, in (0, 1].
        fps: Moments a second.
    """

    def __init__(self, title: str, dims: int, switch: int | None, speed: float, fps: float) -> None:
        if not 0.0 < speed <= 1.0 or not fps > 0.0:
            raise InvalidArgumentError(
                f"Expected speed in (0, 1] and fps > 0, got {speed} and {fps}."
            )
        if switch is not None and not -dims <= switch < dims:
            raise InvalidArgumentError(f"Expected a switch below {dims}, got {switch}.")
        self._moved = [dim for dim in range(dims) if switch is None or dim != switch % dims]
        if len(self._moved) > len(PAIRS):
            raise InvalidArgumentError(
                f"Expected at most {len(PAIRS)} numbers to move by keys, got {len(self._moved)}; "
                "gymnasium.wrappers.TransformAction can leave some out."
            )
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        with needed_extra("record", "parrot record needs pygame"):
            import pygame
        self._pygame, self._dims, self._switch = pygame, dims, switch
        self._speed, self._fps = speed, fps
        pygame.init()
        pygame.display.set_caption(title)
        self._screen = pygame.display.set_mode((_WIDTH, _WIDTH + _LINE))
        self._font, self._clock = pygame.font.Font(None, _LINE), pygame.time.Clock()
        self._pads = [pygame.joystick.Joystick(i) for i in range(pygame.joystick.get_count())]
        self._held: set[str] = set()
        self._axes: dict[int, float] = {}
        self._on = 1.0

    def show(self, frame: ImageArray | None, text: str) -> None:
        """Show a picture (H, W, 3), as large as fits, and a line below it."""
        self._screen.fill((0, 0, 0))
        if frame is not None:
            turned = np.ascontiguousarray(frame.swapaxes(0, 1))
            surface = self._pygame.surfarray.make_surface(turned)
            factor = _WIDTH / max(surface.get_size())
            size = [round(side * factor) for side in surface.get_size()]
            self._screen.blit(self._pygame.transform.scale(surface, size), (0, 0))
        self._screen.blit(self._font.render(text, True, (255, 255, 255)), (4, _WIDTH + 4))
        self._pygame.display.flip()

    def read(self) -> Wish:
        """Wait for the next moment, and say what is held and was pressed."""
        self._clock.tick(self._fps)
        command, switched = "", False
        for event in self._pygame.event.get():
            pressed = self._taken(event)
            switched = switched or pressed == "switch"
            command = command or ("" if pressed == "switch" else pressed)
        action = np.zeros(self._dims)
        for place, dim in enumerate(self._moved):
            pair = PAIRS[place]
            keys = float(pair[1] in self._held) - float(pair[0] in self._held)
            stick = self._axes.get(place, 0.0)
            action[dim] = self._speed * (keys or (stick if abs(stick) > _STILL else 0.0))
        moves = switched or bool(action.any())
        if self._switch is not None:
            self._on = -self._on if switched else self._on
            action[self._switch] = self._on
        return Wish(action, moves, command)

    def close(self) -> None:
        """Close the window."""
        self._pygame.quit()

    def _taken(self, event: Any) -> str:
        """Take an event in; a command, "switch", or nothing."""
        game = self._pygame
        if event.type == game.QUIT:
            return QUIT
        if event.type in (game.KEYDOWN, game.KEYUP):
            return self._key(game.key.name(event.key), event.type == game.KEYDOWN)
        if event.type == game.JOYAXISMOTION:
            self._axes[event.axis] = float(event.value)
        if event.type == game.JOYBUTTONDOWN:
            return "switch" if event.button == 0 else BUTTONS.get(event.button, "")
        return ""

    def _key(self, name: str, down: bool) -> str:
        if name == "space":
            return "switch" if down else ""
        if name in COMMANDS:
            return COMMANDS[name] if down else ""
        (self._held.add if down else self._held.discard)(name)
        return ""
