"""How the training of multi-x1 differs from that of multi-x4: it starts from its refiner, and is shorter.

Importing this makes the recipe of ``models/multi-x4`` importable.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "multi-x4"))

from examples import Plan

PLAN = Plan(
    scale=1,
    single="single-x1",
    seed=20261201,
    general=range(22),
    fine=range(88, 110),
    steps=900,
    decay_from=250,
    rate=7e-4,
    warming=100,
    log_every=300,
    held_out=5,
    start="multi-x4",
)
