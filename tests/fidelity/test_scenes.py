"""The scene list: complete, by its rule, disjoint from everything that was trained on."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from forensic.resources import models_dir
from tests.fidelity import scenes
from tests.footage import shared_data


def test_no_scene_was_trained_on() -> None:
    listed = {scene.sha256 for name in (scenes.HELD_OUT, scenes.CLASSIC) for scene in scenes.listed(name)}
    lists = sorted(models_dir().glob("*/photographs.csv"))
    assert len(listed) == 45 and lists
    for path in lists:
        with path.open(encoding="utf-8", newline="") as stream:
            trained = {row["sha256"] for row in csv.DictReader(stream)}
        assert trained and all(len(digest) == 64 for digest in trained), path
        assert not trained & listed, path


def test_the_list_follows_its_rule() -> None:
    held_out = scenes.listed()
    assert len(held_out) >= 20 and [scene.file for scene in held_out] == sorted(scene.file for scene in held_out)
    shared = shared_data()
    if shared is not None:  # where the photographs are, they are the listed ones
        names = sorted(path.name for path in (shared / scenes.HELD_OUT).glob("*.jpg"))
        assert [scene.file for scene in held_out] == names[:: scenes.EVERY]
        assert scenes.luma(held_out[0], 240, 320).shape == (240, 320)


def test_another_file_under_a_listed_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scenes.listed()[0]
    (tmp_path / scene.collection).mkdir(parents=True)
    (tmp_path / scene.collection / scene.file).write_bytes(b"another")
    monkeypatch.setenv("FORENSIC_SHARED_DATA", str(tmp_path))
    with pytest.raises(scenes.SceneMissing, match="not the listed file"):
        scenes.luma(scene, 8, 8)
    with pytest.raises(scenes.SceneMissing, match="not on this machine"):
        scenes.luma(scenes.listed()[1], 8, 8)


def test_drawn_scenes_are_the_same_every_time_and_differ() -> None:
    first, again, other = (scenes.luma(scene, 48, 64) for scene in (*scenes.synthetic(1), *scenes.synthetic(2)))
    np.testing.assert_array_equal(first, again)
    assert other.shape == (48, 64) and np.abs(other - first).mean() > 5
    assert first.min() >= 0 and first.max() <= 255
