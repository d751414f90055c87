"""The list of scenes, and the way from a row of the table to an artefact."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from forensic.resources import models_dir
from forensic.risk.calibration import artefact
from forensic.risk.calibration.shelf import FILE, read_calibration
from forensic.risk.calibration.table import recording_of
from forensic.stages.recipe import load_recipe
from tests.calibration import fitting, recordings, rows, scenes


def test_no_scene_is_in_two_splits() -> None:
    every = [scene for split in (*scenes.SPLITS, "test") for scene in scenes.listed(split)]
    assert Counter(scene.split for scene in every) == scenes.SPLITS | {"test": 200}
    assert len({scene.sha256 for scene in every}) == len(every)
    assert {scene.collection for scene in every if scene.split == "test"} == {"bsds500/test"}


def test_strata_follow_one_another_without_a_gap() -> None:
    for before, after in zip(recordings.STRATA, recordings.STRATA[1:], strict=False):
        assert before.up_to == after.above


def test_a_recording_becomes_a_row_and_a_row_what_was_counted() -> None:
    rng = np.random.default_rng(5)
    scene = np.kron(rng.uniform(40, 200, (20, 24)), np.ones((8, 8))).astype(np.float32)  # 160 x 192 with margins
    listed = scenes.Scene("tune", "made-up", "leaves.png", "00" * 32)
    stratum = recordings.STRATA[0]
    made = recordings.recorded(scene, 0, stratum, "tune")
    assert made is not None and stratum.above < (made.qp[made.reference] or 0.0) <= stratum.up_to
    again = recordings.recorded(scene, 0, stratum, "tune")
    assert again is not None and again.sha256 == made.sha256
    found = recordings.mapped(made, load_recipe("light").bind().pipeline)
    row = rows.row_of(listed, stratum, made, found)
    assert tuple(row) == rows.FIELDS
    recording = recording_of(row)
    counted = found.counts()
    assert recording.pixels == found.error.size == 16 * made.frames[0].size
    assert [recording.low[one.threshold] for one in counted] == [one.low for one in counted]
    assert [recording.wrong[16][one.threshold] for one in counted] == [one.wrong[0] for one in counted]
    assert recording.measures == found.measures()
    assert recording.measures["quantiser"] == pytest.approx(made.qp[made.reference], abs=1e-4)


def test_a_scene_without_a_recording_in_a_stratum_says_so_and_is_left_out() -> None:
    listed = scenes.Scene("tune", "made-up", "leaves.png", "00" * 32)
    row = rows.row_of(listed, recordings.STRATA[0], None, None)
    assert row["remark"] and not fitting.groups([row])[0].recordings


def test_every_shipped_calibration_follows_from_its_table() -> None:
    """Whatever lies beside a card: the artefact is what its own table gives, byte for byte."""
    recipes = {"light-x4": "light", "single-x4": "single"}
    for path in sorted(models_dir().glob(f"*/{FILE}")):
        shipped = read_calibration(path)
        assert isinstance(shipped, artefact.Calibration)
        model = path.parent.name
        made = fitting.made(recipes[model], model)
        assert made.model_dump(exclude={"software"}) == shipped.model_dump(exclude={"software"})
