"""Scenes as ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forensic.errors import BadInput, UsageError
from forensic.hashes import sha256_file
from forensic.validation.recordings import known_shifts, recordings
from forensic.validation.scenes import drawn, read_pictures
from forensic.validation.suite import Condition


@pytest.mark.parametrize("kind", ["leaves", "chart"])
def test_scenes_follow_from_their_seed_and_have_contrast(kind: str) -> None:
    first, again, other = (drawn(kind, 128, 160, seed) for seed in (1, 1, 2))
    assert first.shape == (128, 160)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0 and first.max() <= 255 and first.std() > 15


def test_pictures_of_a_laboratory_are_read_by_name_and_hashed(tmp_path: Path) -> None:
    for name, size in (("b.png", (120, 100)), ("a.jpg", (90, 80))):
        Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_pictures(tmp_path)
    assert [one.name for one in found] == ["a.jpg", "b.png"]
    assert [one.sha256 for one in found] == [sha256_file(tmp_path / one.name) for one in found]
    assert found[1].middle(64, 96).shape == (64, 96)
    with pytest.raises(BadInput) as refused:
        found[0].middle(81, 20)
    assert refused.value.code == "validation.scene"


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_pictures(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    with pytest.raises(BadInput):
        read_pictures(tmp_path)


def test_recordings_are_made_again_from_the_condition() -> None:
    condition = Condition.model_validate(
        {"id": "c", "text": "t", "scene": "chart", "scenes": 2, "first_seed": 4, "frames": 2, "size": [160, 128],
         "degradation": {"sampling": {"factor": 4}, "motion": {"pan_x": 0.5},
                         "codec": {"name": "h264", "crf": 20.0}}}
    )  # fmt: skip
    first, again = (list(recordings(condition)) for _ in range(2))
    assert [one.to_record() for one in first] == [one.to_record() for one in again]
    assert first[0].recording.sha256 != first[1].recording.sha256
    shifts = known_shifts(first[0].recording)
    assert shifts[first[0].recording.reference] == pytest.approx([0, 0])
    assert abs(shifts[0][0]) == pytest.approx(0.5)


def test_a_picture_that_eight_bits_would_clip_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((80, 90), 40_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(BadInput, match="8 bits"):
        read_pictures(tmp_path)


def test_one_picture_twice_is_no_two_scenes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((80, 90), 90, np.uint8)).save(tmp_path / name)
    with pytest.raises(BadInput, match="same picture"):
        read_pictures(tmp_path)
