"""Where a stage had no recording to show, the map says HIGH and names the reason."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.risk.assessment import OUTSIDE, assess
from forensic.risk.regions import GENERATIVE, NO_RECORDING
from forensic.risk.tiles import Level


@pytest.mark.parametrize("factor", [1, 2])
def test_tiles_without_recording_are_high_whatever_value_they_show(factor, smooth_scene, coded):
    """The fill need not be a clipped value: a middle grey says nothing either."""
    scene = smooth_scene(64, 96)
    scene[:, :9] = 120.0
    shown = np.ones(scene.shape, bool)
    shown[:, :9] = False
    output = coded(np.kron(scene, np.ones((factor, factor))))
    made = assess(coded(scene).to_working(), output, shown=shown)
    columns = -(-9 * factor // 16)
    assert (made.levels[:, :columns] == Level.HIGH).all()
    plain = assess(coded(scene).to_working(), output)
    assert np.array_equal(made.levels[:, columns:], plain.levels[:, columns:])
    assert made.regions[0].worst_tile.driver == NO_RECORDING
    facts = made.summary()["no_recording"]
    assert facts == {"share": round(9 / 96, 5), "tiles": int(columns * made.levels.shape[0]), "rule": OUTSIDE}
    canonical_json(made.to_record())


def test_one_pixel_is_enough_and_none_changes_nothing(smooth_scene, coded):
    scene = smooth_scene(64, 96)
    pair = coded(scene).to_working(), coded(scene)
    shown = np.ones(scene.shape, bool)
    assert np.array_equal(assess(*pair, shown=shown).levels, assess(*pair).levels)
    assert assess(*pair, shown=shown).summary()["no_recording"] is None
    shown[20, 40] = False
    levels = assess(*pair, shown=shown).levels
    assert levels[1, 2] == Level.HIGH and np.count_nonzero(levels == Level.HIGH) == 1


def test_it_holds_where_nothing_can_be_measured_and_generative_stays_generative(smooth_scene, coded):
    scene = smooth_scene(64, 96)
    shown = np.ones(scene.shape, bool)
    shown[:, :9] = False
    odd = assess(coded(scene).to_working(), coded(scene[:50, :70]), shown=shown)
    assert not odd.assessed and (odd.levels[:, 0] == Level.HIGH).all()
    assert (odd.levels[:, 2:] == Level.NOT_ASSESSED).all()
    assert odd.regions[0].worst_tile.driver == NO_RECORDING
    made = assess(coded(scene).to_working(), coded(scene, stage_class=StageClass.GENERATIVE), shown=shown)
    assert (made.levels == Level.HIGH).all() and {region.worst_tile.driver for region in made.regions} == {GENERATIVE}
