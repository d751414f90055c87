"""``python -m tests.calibration``: from scenes to a calibration, and what it is worth. Order of the steps:

    python -m tests.calibration --list                                          # the scenes' list, once
    python -m tests.calibration --recipe light --model light-x4 --learn         # the head, on the train scenes
    python -m tests.calibration --recipe light --model light-x2 --ablate        # what each of its features is worth
    python -m tests.calibration --recipe light --model light-x4 --split tune    # a look
    python -m tests.calibration --recipe light --model light-x4 --split calibrate
    python -m tests.calibration --recipe light --model light-x4 --fit           # models/light-x4/calibration.json
    python -m tests.calibration --recipe light --model light-x4 --evaluate      # held-out test scenes, once
    python -m tests.calibration --recipe light --model light-x4 --plant 60      # planted hallucinations
    python -m tests.calibration --recipe light --model light-x4 --unfamiliar 40
    python -m tests.calibration --recipe multi --model multi-x1 --moving 40      # models of several frames
    python -m tests.calibration --recipe multi --model multi-x1 --disperse 20    # their self-ensemble, as a baseline
    python -m tests.calibration --recipe light --model light-x4 --footage       # regions of real footage

``--split`` goes on where the last call stopped. Rows go to ``models/MODEL/calibration-SPLIT.csv``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2

from forensic.registry.cards import load_card
from forensic.resources import models_dir
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.calibration.shelf import FILE, head_for, head_of, read_calibration
from forensic.stages.combining import combining
from forensic.stages.recipe import BoundRecipe, load_recipe
from tests.calibration import (
    ablation,
    dispersed,
    evaluation,
    fitting,
    footage,
    learning,
    moving,
    planted,
    scenes,
    unfamiliar,
)
from tests.calibration.recordings import STRATA, mapped, recorded
from tests.calibration.rows import Table, row_of


def _bound(recipe: str, model: str) -> BoundRecipe:
    bound = load_recipe(recipe).bind(scale=load_card(model).scale)
    named = [stage.model.id for stage in bound.stages if stage.model is not None and not stage.keeps_luma]
    if named != [model]:
        raise SystemExit(f"Recipe {recipe} runs {named}, not {model}.")
    return bound


def _measure(bound: BoundRecipe, model: str, split: str, most: int | None) -> None:
    table = Table(models_dir() / model / f"calibration-{split}.csv", frames=combining(bound.pipeline) is not None)
    head = head_for(bound.stages)
    # A stratum after the other, so that what is there when time runs out is whole strata.
    pictures, factor = scenes.pictures(split), load_card(model).scale
    for stratum in STRATA:
        for number, scene in list(enumerate(scenes.listed(split)))[:most]:
            if (scene.file, stratum.name) in table.done:
                continue
            recording = recorded(pictures, number, stratum, split, factor)
            found = None if recording is None else mapped(recording, bound.pipeline, head)
            table.add(row_of(scene, stratum, recording, found))


def _calibration(model: str) -> Calibration:
    found = read_calibration(models_dir() / model / FILE)
    if found is None:
        raise SystemExit(f"There is no {FILE} beside the card of {model}.")
    return found


def _plant(bound: BoundRecipe, model: str, most: int) -> None:
    calibration = _calibration(model)
    found = [
        *planted.planted(bound.pipeline, calibration, most),
        *planted.planted_in_low(bound.pipeline, calibration, most),
    ]
    _table(models_dir() / model / "planted.csv", [asdict(one) for one in found])


def _table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    """Do what was asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.calibration")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--recipe")
    parser.add_argument("--model")
    parser.add_argument("--learn", action="store_true")
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("--split", choices=("train", "tune", "calibrate"))
    parser.add_argument("--most", type=int)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--plant", type=int, metavar="SCENES")
    parser.add_argument("--unfamiliar", type=int, metavar="SCENES")
    parser.add_argument("--moving", type=int, metavar="SCENES")
    parser.add_argument("--disperse", type=int, metavar="SCENES")
    parser.add_argument("--footage", action="store_true")
    asked = parser.parse_args()
    if asked.list:
        scenes.write_list()
    if asked.fit:
        fitting.write(asked.recipe, asked.model)
    if asked.footage:
        rows = list(footage.rows(asked.recipe, load_card(asked.model).scale))
        _table(models_dir() / asked.model / "footage.csv", rows)
    networks = (asked.learn, asked.ablate, asked.split, asked.evaluate, asked.plant, asked.unfamiliar)
    if any((*networks, asked.moving, asked.disperse)):
        import torch

        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        bound = _bound(asked.recipe, asked.model)
        folder = models_dir() / asked.model
        if asked.learn:
            learning.write(bound.pipeline, asked.model)
        if asked.ablate:
            ablation.write(bound.pipeline, asked.model)
        if asked.split:
            _measure(bound, asked.model, asked.split, asked.most)
        if asked.evaluate:
            calibration = _calibration(asked.model)
            found = list(evaluation.recordings(bound.pipeline, calibration, head_of(calibration)))
            evaluation.write(folder / "evaluation.csv", evaluation.table(found, calibration))
        if asked.plant:
            _plant(bound, asked.model, asked.plant)
        if asked.unfamiliar:
            calibration = _calibration(asked.model)
            told = unfamiliar.rows(bound.pipeline, calibration, head_of(calibration), asked.unfamiliar)
            evaluation.write(folder / "unfamiliar.csv", list(told))
        if asked.moving:
            calibration = _calibration(asked.model)
            told = moving.rows(bound.pipeline, calibration, head_of(calibration), asked.moving)
            evaluation.write(folder / "moving.csv", list(told))
        if asked.disperse:
            calibration = _calibration(asked.model)
            told = dispersed.rows(bound.pipeline, calibration, head_of(calibration), asked.disperse)
            evaluation.write(folder / "self-ensemble.csv", list(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
