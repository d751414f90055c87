"""How stages move what they are given, and behind which movements what is said of the recording still holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Movement(Enum):
    """What a stage does to the places of what a picture shows."""

    NONE = "none"
    REMADE = "made anew in place"
    CUT = "a fixed rectangle, sample for sample"
    PERMUTED = "turned by right angles or mirrored, sample for sample"
    MOVING_CUT = "a rectangle that moves by whole samples"
    MOVING_BETWEEN = "a rectangle that moves, between samples"
    UNSTEADY = "every picture by what was found in it"
    WARPED = "turned, stretched, bent or resized, every picture alike"


KEEPING = frozenset({Movement.NONE, Movement.REMADE})
"""Each place stays where it is."""
CUTTING = frozenset({Movement.CUT, Movement.MOVING_CUT})
"""Samples are copied, and where from is known: by the parameters of a crop, from the frame behind a moving one."""
FOLLOWING = frozenset({Movement.MOVING_CUT, Movement.MOVING_BETWEEN})
"""A rectangle that moves."""
UNALIKE = FOLLOWING | {Movement.UNSTEADY}
"""What stands at one place of the recording comes to stand at another one in every frame."""


@dataclass(frozen=True)
class Bound:
    """What parameters say of the recording, wherever a stage stands: ``what`` goes on "Stage 'x' ... , which stage 'y'
    before it moves"; it holds behind stages that move what they are given as in ``behind``. ``remedy``: where putting
    the stage before the other one is not the way. ``uncut``: behind a rectangle that moves it speaks of the picture
    that this is cut out of, and each frame says where. ``of_records``: recorded runs too are held to it, as they were
    when they were made; other rules came after the first of them."""

    what: str
    behind: frozenset[Movement]
    remedy: str | None = None
    uncut: bool = False
    of_records: bool = False


MARKED_DAMAGE = Bound("masks places of the recording", frozenset({Movement.NONE, Movement.CUT}), of_records=True)
"""Of stages to whom a person has marked damaged pixels: only a fixed crop carries the marks along."""
