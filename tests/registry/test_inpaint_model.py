"""The shipped model for holes: what its card claims, and that it leaves alone what is known."""

from __future__ import annotations

import csv

import numpy as np

from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.registry.inpainting import inpainted
from forensic.registry.loading import load_model
from forensic.resources import models_dir

from .test_mae import holes

MODEL = "mae-inpaint"


def measured(name: str = "measured.csv") -> list[dict[str, str]]:
    with (models_dir() / MODEL / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_card_repeats_the_measurement_file_to_the_digit() -> None:
    card = load_card(MODEL)
    assert card.stage_class is StageClass.GENERATIVE and card.calibration == "uncalibrated"
    assert card.works_on == "holes" and card.channels == "rgb" and card.scale == 1 and card.forward_model is None
    expected = []
    for row in measured():
        conditions = f"BSDS500 test; {row['damage']}, {row['share']} of the picture"
        expected += [
            ("PSNR-Y of the damaged pixels", row["method"], float(row["psnr_db"]), int(row["n"]), conditions),
            ("LPIPS of the picture", row["method"], float(row["lpips"]), int(row["n"]), conditions),
            ("regions repaired to 30 dB", row["method"], float(row["success"]), int(row["regions"]), conditions),
        ]
    assert [(one.metric, one.method, one.value, one.n, one.conditions) for one in card.measured] == expected
    text = (models_dir() / MODEL / "README.md").read_text(encoding="utf-8")
    assert card.weights.sha256 in text
    for row in measured():
        assert f"{row['psnr_db']} / {row['lpips']} / {row['succeeded']} of {row['regions']}" in text, row


def test_the_shipped_model_fills_holes_and_nothing_else() -> None:
    model, missing = load_model(load_card(MODEL)), holes()
    y, x = np.mgrid[:100, :132].astype(np.float32)
    given = np.stack([0.2 + 0.5 * x / 132, 0.3 + 0.4 * y / 100, 0.8 - 0.3 * x / 132]).astype(np.float32)
    made = inpainted(model, given, missing, 48)
    assert np.array_equal(made.picture[:, ~missing], given[:, ~missing]) and made.windows > 0
    assert np.abs(made.picture - given)[:, missing].mean() < 0.03  # a slope goes on under a hole
