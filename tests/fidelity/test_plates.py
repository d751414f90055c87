"""Drawn plates, their place in the recording, and the count of wrong characters."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.fidelity import methods, ocr, plates


@pytest.mark.parametrize(
    ("seen", "wanted", "expected"),
    [
        ("KRF 4872", "KRF 4872", 1.0),
        (" krf-4872", "KRF 4872", 1.0),
        ("KRF 487", "KRF 4872", 6 / 7),
        ("KRE 4872", "KRF 4872", 6 / 7),
        ("XKRF 4872", "KRF 4872", 6 / 7),
        ("", "KRF 4872", 0.0),
        ("SOMETHING ELSE ALTOGETHER", "KRF 4872", 0.0),
    ],
)
def test_accuracy_counts_edits(seen: str, wanted: str, expected: float) -> None:
    assert ocr.accuracy(seen, wanted) == pytest.approx(expected)


def test_the_plate_is_cut_out_where_it_is_in_the_middle_frame() -> None:
    drawn = plates.plate(0)
    assert drawn.text == plates.plate(0).text and drawn.text != plates.plate(1).text
    recording = plates.record(drawn, 0, "none")
    truth = np.clip(np.rint(recording.truth[4]), 0, 255).astype(np.uint8)
    piece = plates.cut(truth, recording, drawn)
    x, y, width, height = (round(value) for value in drawn.box)
    own = drawn.sprite[y : y + height, x : x + width].astype(np.float32)
    found = cv2.matchTemplate(piece.astype(np.float32), own, cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(found)
    space = 0.1 * drawn.box[3]
    assert best > 0.95 and np.abs(np.array(place) - space).max() < 3, (best, place)
    assert np.abs(recording.object_corners[0][8] - recording.object_corners[0][0]).max() > 12, "the car moves"


def test_plates_are_read_where_a_reader_is_and_not_measured_where_none_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plates, "CRFS", ("28",))
    try:
        texts = ocr.read([np.full((40, 160), 200, np.uint8)])
        assert len(texts) == 1
    except ocr.NoReader:
        monkeypatch.setenv("FORENSIC_OCR_PYTHON", sys.executable)
        assert plates.measure([methods.method("bicubic", 4)], 1, folder=tmp_path)
        assert "not measured" in capsys.readouterr().out and not list(tmp_path.iterdir())
    else:
        assert plates.measure([methods.method("bicubic", 4)], 1, folder=tmp_path)
        lines = (tmp_path / "plates.csv").read_text("utf-8").splitlines()
        assert len(lines) == 3 and lines[2].startswith("28,0,truth,")
