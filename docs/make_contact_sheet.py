"""Draw every kind of thing once, with its name: `python docs/make_contact_sheet.py`. Needs Pillow.

The pictures come from the environments' own camera, moved close to a thing that stands alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from parrot_envs.camera import Camera, CameraConfig, Look
from parrot_envs.containers import novel_containers, training_containers
from parrot_envs.novel_objects import novel_objects
from parrot_envs.shapes import Thing
from parrot_envs.sim import Simulator
from parrot_envs.thing_library import object_library
from parrot_envs.training_objects import TRAINING_FAMILIES

TILE, LABEL, HEADING, COLUMNS = 128, 16, 24, 8
SPOT, YAW = (0.31, 0.0), -1.0
BULLET = ("duck", "mug", "lego", "prism", "blob-009", "blob-013", "blob-019", "blob-030")
"""Some of PyBullet's objects."""


def groups() -> dict[str, list[Thing]]:
    """What to draw, by heading."""
    library = object_library()
    return {
        "training families": [library[f"{family}-0"] for family in TRAINING_FAMILIES],
        "novel objects": list(novel_objects().values()),
        "training containers": list(training_containers()),
        "novel containers": list(novel_containers().values()),
        "of PyBullet's objects": [library[name] for name in BULLET],
    }


def portrait(thing: Thing) -> Image.Image:
    """A square picture of one thing, drawn at twice its size and made smaller: soft edges."""
    sim = Simulator()
    sim.add_thing(thing, SPOT, YAW, thing.colors)
    distance = 0.34 if thing.mass else 0.55
    close = CameraConfig((*SPOT, 0.4 * thing.height), distance, pitch=-40.0, fov=18.0)
    picture = Image.fromarray(Camera(2 * TILE, Look(close)).image(sim.client))
    sim.close()
    return picture.resize((TILE, TILE), Image.Resampling.LANCZOS)


def sheet() -> Image.Image:
    """All groups below each other."""
    height = sum(HEADING + _rows(things) * (TILE + LABEL) for things in groups().values())
    page = Image.new("RGB", (COLUMNS * TILE, height), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    y = 0
    for heading, things in groups().items():
        draw.text((4, y + 6), heading.upper(), "black", font)
        y += HEADING
        for index, thing in enumerate(things):
            x, top = index % COLUMNS * TILE, y + index // COLUMNS * (TILE + LABEL)
            page.paste(portrait(thing), (x, top))
            draw.text((x + 4, top + TILE), thing.name.removesuffix("-0"), "black", font)
        y += _rows(things) * (TILE + LABEL)
    return page


def _rows(things: list[Thing]) -> int:
    return -(-len(things) // COLUMNS)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the picture with a palette of 256 colours, which keeps the file small."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    default = Path(__file__).parent / "images" / "objects.png"
    parser.add_argument("out", type=Path, nargs="?", default=default)
    args = parser.parse_args(argv)
    sheet().quantize(256).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
