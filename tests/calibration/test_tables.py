"""The list of scenes, and the way from a row of the table to an artefact."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest

from forensic.resources import models_dir
from forensic.risk.calibration import artefact
from forensic.risk.calibration.shelf import FILE, head_for, read_calibration
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


def _scenes() -> list[np.ndarray]:
    """Two lying and a standing one, made up."""
    rng = np.random.default_rng(5)
    blocks = [rng.uniform(40, 200, shape) for shape in ((40, 60), (60, 40), (40, 60))]
    return [np.kron(one, np.ones((8, 8))).astype(np.float32) for one in blocks]


def _offset(part: np.ndarray, scene: np.ndarray) -> int:
    """How far, in pixels, the middle of ``part`` lies from the middle of ``scene``, of which it is a part."""
    found = cv2.matchTemplate(scene, part.astype(np.float32), cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    return int(max(abs(row - (found.shape[0] - 1) / 2), abs(column - (found.shape[1] - 1) / 2)))


def test_a_region_lies_within_its_scene_and_its_truth_where_it_lies() -> None:
    for number in range(3):
        made = recordings.recorded(_scenes(), number, recordings.STRATA[0], "tune", 2)
        assert made is not None
        x, y, width, height = made.box
        whole = made.recording.frames[4]
        assert 0 <= x <= whole.shape[1] - width and 0 <= y <= whole.shape[0] - height and x % 2 == y % 2 == 0
        assert np.array_equal(made.frame.luma, whole[y : y + height, x : x + width])
        assert made.truth.shape == (2 * height, 2 * width)
        small = made.truth.reshape(height, 2, width, 2).mean(axis=(1, 3))
        assert np.corrcoef(small.ravel(), made.frame.luma.ravel())[0, 1] > 0.9
        again = recordings.recorded(_scenes(), number, recordings.STRATA[0], "tune", 2)
        assert again is not None and (again.sha256, again.box) == (made.sha256, made.box)
        centred = recordings.recorded(_scenes(), number, recordings.STRATA[0], "tune", 2, centred=True)
        assert centred is not None and _offset(centred.truth, _scenes()[number]) <= 8


def test_a_recording_becomes_a_row_and_a_row_what_was_counted() -> None:
    listed = scenes.Scene("tune", "made-up", "leaves.png", "00" * 32)
    stratum, stages = recordings.STRATA[0], load_recipe("light").bind().stages
    made, head = recordings.recorded(_scenes(), 0, stratum, "tune", 4), head_for(stages)
    assert made is not None and head is not None and stratum.above < (made.quantiser or 0.0) <= stratum.up_to
    found = recordings.mapped(made, load_recipe("light").bind().pipeline, head)
    row = rows.row_of(listed, stratum, made, found)
    assert tuple(row) == rows.FIELDS
    recording = recording_of(row)
    counted = found.counts()
    assert recording.pixels == found.error.size == 16 * made.box[2] * made.box[3]
    assert [recording.low[one.threshold] for one in counted] == [one.low for one in counted]
    assert [recording.wrong[16][one.threshold] for one in counted] == [one.wrong[0] for one in counted]
    assert recording.measures == found.measures()
    assert recording.measures["quantiser"] == pytest.approx(made.quantiser, abs=1e-4)
    assert recording.measures["bits"] == pytest.approx(
        8 * made.recording.packet_sizes[4] / made.recording.frames[4].size, abs=1e-4
    )


def test_a_scene_without_a_recording_in_a_stratum_says_so_and_is_left_out() -> None:
    listed = scenes.Scene("tune", "made-up", "leaves.png", "00" * 32)
    row = rows.row_of(listed, recordings.STRATA[0], None, None)
    assert row["remark"] and not fitting.groups([row])[0].recordings


def test_every_shipped_calibration_follows_from_its_table() -> None:
    """Whatever lies beside a card: the artefact is what its own table gives, byte for byte."""
    found = sorted(models_dir().glob(f"*/{FILE}"))
    assert found
    for path in found:
        shipped = read_calibration(path)
        assert isinstance(shipped, artefact.Calibration)
        model = path.parent.name
        recipe, _, rest = model.partition("-x")
        made = fitting.made(f"{recipe}-int8" if rest.endswith("int8") else recipe, model)
        assert made.model_dump(exclude={"software"}) == shipped.model_dump(exclude={"software"})
