"""What the structured encoder's features are, and where they stand."""

from __future__ import annotations

import math

LENGTH = 0.1
"""Metres that a feature of 1 stands for."""
GRIPPER = 5
"""Gripper features: x, y, z (from their mean in the data), opening, whether something is held."""
CONTAINER_CODE = 2
FOLD = 4
"""Pixels that are folded into channels first, per side: the trunk's cells are this large."""
FAINT = 0.01
"""A slot whose squared mass is this is half present."""
SLOT = 4
"""Numbers of a slot: presence, then position relative to the gripper, gated by presence."""
SHARED = GRIPPER + SLOT + CONTAINER_CODE
"""Features before the object slots."""
CELL_MASS = 2.0 * math.pi * 0.8**2
"""Cells that a thing fills: the sum of a Gaussian of 0.8 cells, as which it was taught."""
