"""Independent random streams from one seed, so that no draw shifts another."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; the numbers are part of the simulator's version."""

    JITTER = 1
    NOISE = 2
    FIXED_PATTERN = 3
    OBJECT = 4


def generator(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """PCG64 generator of ``purpose`` at ``place`` (frame, field, object number)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(int(purpose), *place))))
