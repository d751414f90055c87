"""``python -m tests.calibration``: record and measure the scenes of a split, a row per recording.

    python -m tests.calibration --list                                        # the scenes' list, once
    python -m tests.calibration --recipe light --model light-x4 --split calibrate
    python -m tests.calibration --recipe light --model light-x4 --fit         # models/light-x4/calibration.json

A call goes on where the last one stopped. Rows go to ``models/MODEL/calibration-SPLIT.csv``.
"""

from __future__ import annotations

import argparse
import sys

import cv2

from forensic.resources import models_dir
from forensic.stages.recipe import load_recipe
from tests.calibration import fitting, scenes
from tests.calibration.recordings import STRATA, mapped, recorded
from tests.calibration.rows import Table, row_of


def _measure(recipe: str, model: str, split: str, most: int | None) -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    bound = load_recipe(recipe).bind()
    named = [stage.model.id for stage in bound.stages if stage.model is not None]
    if named != [model]:
        raise SystemExit(f"Recipe {recipe} runs {named}, not {model}.")
    table = Table(models_dir() / model / f"calibration-{split}.csv")
    # A stratum after the other, so that what is there when time runs out is whole strata.
    for stratum in STRATA:
        for number, scene in list(enumerate(scenes.listed(split)))[:most]:
            if (scene.file, stratum.name) in table.done:
                continue
            recording = recorded(scenes.picture(scene), number, stratum, split)
            found = None if recording is None else mapped(recording, bound.pipeline)
            table.add(row_of(scene, stratum, recording, found))


def main() -> int:
    """Do what was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.calibration")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--recipe")
    parser.add_argument("--model")
    parser.add_argument("--split", choices=("train", "tune", "calibrate", "test"))
    parser.add_argument("--most", type=int)
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    if asked.list:
        scenes.write_list()
    if asked.split:
        _measure(asked.recipe, asked.model, asked.split, asked.most)
    if asked.fit:
        fitting.write(asked.recipe, asked.model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
