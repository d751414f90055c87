"""How the training of single-x4 differs from that of light-x4: a larger network, more steps, in two parts.

In the first, many recordings are sharpened by the camera; in the second none, and the rate is lower. Importing this
makes the recipe of ``models/light-x4`` importable.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "light-x4"))

from recordings import Sharpening
from train import Plan

MODEL = "single-x4"
FIRST = Plan(
    hyperparameters={"width": 64, "blocks": 12, "fold": 2, "fused": 1},
    patch=124,
    steps=12_000,
    decay_from=7_000,
    rate=1e-3,
    warming=300,
    sharpening=Sharpening(share=0.4, most=1.5),
)
#: Goes on from where the first part ends: trained half for sharpened recordings, it sharpened the others too little.
SECOND = replace(FIRST, steps=14_500, decay_from=12_000, rate=5e-4, sharpening=Sharpening(share=0.0))
