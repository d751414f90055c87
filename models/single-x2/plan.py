"""How the training of single-x2 differs from that of single-x4: it starts from its weights, and is shorter.

Importing this makes the recipe of ``models/light-x4`` importable.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "light-x4"))

from recordings import Sharpening
from train import Plan

MODEL = "single-x2"
PLAN = Plan(
    hyperparameters={"width": 64, "blocks": 12, "fold": 2, "fused": 1},
    patch=124,
    steps=1_000,
    decay_from=250,
    rate=4e-4,
    sharpening=Sharpening(share=0.0),
    scale=2,
    start="single-x4",
    seed=20261128,
)
