"""Pixels that a stage replaced, or left though damaged, are HIGH with their own reason."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.risk.assessment import REPLACED, assess
from forensic.risk.regions import GENERATIVE, NO_RECORDING
from forensic.risk.tiles import Level


@pytest.mark.parametrize("factor", [1, 2])
def test_filled_tiles_are_high_by_name_however_well_they_fit(factor, smooth_scene, coded):
    scene = smooth_scene(64, 96)
    pair = coded(scene).to_working(), coded(np.kron(scene, np.ones((factor, factor))))
    filled, left = np.zeros(scene.shape, bool), np.zeros(scene.shape, bool)
    filled[20, 40], left[50:52, 80:90] = True, True
    made = assess(*pair, replaced={"filled": filled, "left": left})
    plain = assess(*pair)
    changed = np.flatnonzero((made.levels != plain.levels).ravel())
    assert changed.size and (made.levels.ravel()[changed] == Level.HIGH).all()
    assert made.levels[20 * factor // 16, 40 * factor // 16] == Level.HIGH
    assert {region.worst_tile.driver for region in made.regions if region.level is Level.HIGH} == {"filled", "left"}
    facts = made.summary()["replaced"]
    assert facts["filled"] == {"share": round(1 / scene.size, 5), "tiles": 1, "rule": REPLACED}
    canonical_json(made.to_record())
    assert "replaced" not in plain.summary()
    assert "replaced" not in assess(*pair, replaced={"filled": np.zeros_like(filled)}).summary()


def test_no_replaced_pixel_is_lost_between_samples_of_a_smaller_or_odder_output(smooth_scene, coded):
    scene = smooth_scene(96, 96)
    for shape in ((48, 48), (24, 32), (70, 91), (96, 96), (130, 250)):
        output = coded(np.full(shape, 128.0))
        for place in range(96):
            scratch = np.zeros(scene.shape, bool)
            scratch[:, place] = True
            made = assess(coded(scene).to_working(), output, replaced={"filled": scratch})
            column = int((place + 0.5) / 96 * shape[1]) // 16
            assert (made.levels[:, column] == Level.HIGH).all(), (shape, place)
            hidden = assess(coded(scene).to_working(), output, shown=~scratch)
            assert (hidden.levels[:, column] == Level.HIGH).all(), (shape, place)


def test_no_recording_and_generative_come_first(smooth_scene, coded):
    scene = smooth_scene(64, 96)
    everywhere = np.ones(scene.shape, bool)
    made = assess(coded(scene).to_working(), coded(scene), shown=~everywhere, replaced={"filled": everywhere})
    assert {region.worst_tile.driver for region in made.regions} == {NO_RECORDING}
    output = coded(scene, stage_class=StageClass.GENERATIVE)
    made = assess(coded(scene).to_working(), output, replaced={"filled": everywhere})
    assert {region.worst_tile.driver for region in made.regions} == {GENERATIVE}
