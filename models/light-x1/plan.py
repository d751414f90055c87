"""How the training of light-x1 differs from that of light-x4: it starts from its weights, and is shorter.

Importing this makes the recipe of ``models/light-x4`` importable.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "light-x4"))

from train import Plan

MODEL = "light-x1"
PLAN = Plan(scale=1, start="light-x4", seed=20261127, steps=1_000, decay_from=300, rate=5e-4)
