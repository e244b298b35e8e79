"""`parrot record` without a display: keys and sticks as events, and what is on disk then."""

import numpy as np
import pytest

from parrot_wrapper.cli import main
from parrot_wrapper.cli.record import BUTTONS, Window
from parrot_wrapper.data import load_dataset
from parrot_wrapper.errors import InvalidArgumentError
from parrot_wrapper.record.human_episodes import KEEP
from tests import expert_env

pygame = pytest.importorskip("pygame")
RECORD = ["record", expert_env.ENV_ID, "--gym-packages", "tests.expert_env", "--fps", "1000"]


@pytest.fixture(autouse=True)
def headless(tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)


def key(name, down=True):
    pygame.init()  # names of keys need it
    kind = pygame.KEYDOWN if down else pygame.KEYUP
    return pygame.event.Event(kind, key=pygame.key.key_code(name))


@pytest.fixture
def person(monkeypatch):
    """Lists of events, one list a moment, in place of what a person would do."""
    script = []
    monkeypatch.setattr(pygame.event, "get", lambda: script.pop(0) if script else [key("escape")])
    return script


def test_episodes_are_kept_thrown_away_and_taken_back(person, capsys):
    first = [[key("d")], [], [key("d", False)], [key("return")]]  # two steps; none while still
    thrown = [[key("a")], [], [], [key("a", False), key("backspace")]]
    person += [*first, *thrown, *first, [key("u")], *first[:2], [key("d", False), key("return")]]
    assert main([*RECORD, "--noise", "0", "--speed", "0.5"]) == 0
    assert capsys.readouterr().out == "datasets/human: 2 episodes.\n"
    data = load_dataset("datasets/human")
    assert (data.lengths.tolist(), data.seeds.tolist()) == ([2, 2], [0, 3])
    half = np.zeros_like(data.actions)
    half[:, 0] = 0.5
    np.testing.assert_allclose(data.actions, half)
    person += [*first, [key("u")], [key("u")], [key("u")]]
    assert main([*RECORD, "--noise", "0", "--speed", "0.5"]) == 0  # the same goes on
    assert "human: 0 episodes" in capsys.readouterr().out
    person += first
    assert main([*RECORD, "--noise", "0", "--episodes", "1"]) == 0
    assert load_dataset("datasets/human").n_episodes == 1
    assert not person  # it ended by itself
    assert main([*RECORD, "--noise", "0.2"]) == 2
    assert "recorded with" in capsys.readouterr().err


def test_an_episode_that_is_over_waits_for_the_word(person):
    person += [[key("d")], *[[]] * 60, [key("return")]]
    assert main([*RECORD, "--noise", "0.1"]) == 0
    data = load_dataset("datasets/human")
    assert data.n_episodes == 1 and 0 < data.n_steps < 60
    assert np.ptp(data.actions[:, 1]) > 0.0  # noise


def test_sticks_and_buttons():
    window = Window("pad", 3, switch=-1, speed=1.0, fps=1000)
    try:
        axis = pygame.JOYAXISMOTION
        pygame.event.post(pygame.event.Event(axis, axis=1, value=-0.6, instance_id=0))
        pygame.event.post(pygame.event.Event(axis, axis=0, value=0.1, instance_id=0))
        wish = window.read()
        assert (wish.action.tolist(), wish.moves, wish.command) == ([0.0, -0.6, 1.0], True, "")
        [keep] = [button for button, command in BUTTONS.items() if command == KEEP]
        for button in (0, keep):
            pygame.event.post(pygame.event.Event(pygame.JOYBUTTONDOWN, button=button))
        pygame.event.post(pygame.event.Event(axis, axis=1, value=0.0, instance_id=0))
        wish = window.read()
        assert (wish.action.tolist(), wish.moves, wish.command) == ([0.0, 0.0, -1.0], True, KEEP)
        assert not window.read().moves
        window.show(np.zeros((8, 4, 3), np.uint8), "text")
        pygame.event.post(pygame.event.Event(pygame.QUIT))
        assert window.read().command == "quit"
    finally:
        window.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((9, None, 1.0, 10.0), "at most 7"),
        ((2, 2, 1.0, 10.0), "switch"),
        ((2, 0, 2.0, 1.0), "speed"),
    ],
)
def test_what_no_window_can_do(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Window("none", *options)
