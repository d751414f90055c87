"""A tiny cell on drawn scenes: scores, resuming, and what is not measured again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.fidelity import cells, document, methods, scores
from tests.fidelity.cells import Cell
from tests.fidelity.measuring import measure
from tests.fidelity.scenes import synthetic

CELL = Cell(4, "jitter", "28")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "SIZES", {4: (40, 48), 2: (48, 64)})


def test_a_cell_is_measured_once_and_resumed(tmp_path: Path) -> None:
    said: list[str] = []
    chosen = [methods.method(name, 4) for name in ("nearest", "bicubic", "lanczos")]
    assert measure(CELL, chosen[:2], synthetic(1), folder=tmp_path, say=said.append)
    assert not measure(CELL, chosen, synthetic(2), folder=tmp_path, until=0.0, say=said.append), "no time left"
    assert measure(CELL, chosen, synthetic(2), folder=tmp_path, say=said.append)
    assert said[0].count("bicubic") == 1 and "bicubic" not in said[1] and "lanczos" in said[1] and len(said) == 3
    before = scores.path_of(CELL.name, tmp_path).read_bytes()
    assert measure(CELL, chosen, synthetic(2), folder=tmp_path, until=0.0, say=said.append), "nothing is due"
    assert scores.path_of(CELL.name, tmp_path).read_bytes() == before
    rows = scores.read(CELL.name, tmp_path)
    assert [(row.scene, row.method) for row in rows] == [
        ("synthetic/0", "nearest"), ("synthetic/0", "bicubic"), ("synthetic/0", "lanczos"),
        ("synthetic/1", "nearest"), ("synthetic/1", "bicubic"), ("synthetic/1", "lanczos"),
    ]  # fmt: skip
    by_name = {row.method: row for row in rows[:3]}
    assert by_name["nearest"].psnr_y < by_name["bicubic"].psnr_y < 60
    assert 0 < by_name["bicubic"].ssim_y < 1 and by_name["bicubic"].psnr_b <= by_name["bicubic"].psnr_y
    assert math.isnan(by_name["bicubic"].psnr_object)


def test_changed_settings_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    measure(CELL, [methods.method("bicubic", 4)], synthetic(1), folder=tmp_path, say=said.append)
    monkeypatch.setitem(methods.CHAINS, "bicubic", (("resize", {"kernel": "bilinear"}),))
    measure(CELL, [methods.method("bicubic", 4)], synthetic(1), folder=tmp_path, say=said.append)
    monkeypatch.setattr(cells, "JITTER", 0.25)
    measure(CELL, [methods.method("bicubic", 4)], synthetic(1), folder=tmp_path, say=said.append)
    assert len(said) == 3 and len(scores.read(CELL.name, tmp_path)) == 1


def test_forgotten_scores_are_taken_again(tmp_path: Path) -> None:
    chosen = [methods.method(name, 4) for name in ("nearest", "bicubic")]
    measure(CELL, chosen, synthetic(1), folder=tmp_path, say=lambda _: None)
    scores.forget(CELL.name, ["nearest"], tmp_path)
    assert [row.method for row in scores.read(CELL.name, tmp_path)] == ["bicubic"]
    said: list[str] = []
    measure(CELL, chosen, synthetic(1), folder=tmp_path, say=said.append)
    assert len(said) == 1 and "nearest" in said[0] and "bicubic" not in said[0]


def test_a_moving_object_is_scored_on_its_own(tmp_path: Path) -> None:
    cell = Cell(2, "object", "none")
    measure(cell, [methods.method("bicubic", 2)], synthetic(1), folder=tmp_path, say=lambda _: None)
    (row,) = scores.read(cell.name, tmp_path)
    assert np.isfinite(row.psnr_object)


def test_every_cell_records_what_its_name_says() -> None:
    assert len(cells.ALL) == 30 and {Cell.parse(cell.name) for cell in cells.ALL} == set(cells.ALL)
    for cell in cells.ALL:
        how = cell.degradation(3)
        assert how.sampling.factor == cell.factor
        assert how.codec.crf == (None if cell.crf == "none" else float(cell.crf))
        assert bool(how.motion.jitter) == (cell.motion == "jitter") and bool(how.motion.objects) == (
            cell.motion == "object"
        )
    for wrong in ("x3:jitter:28", "x4:jitter", "x4:jitter:29", "", "x4:jitter:28:1"):
        with pytest.raises(ValueError, match="no cell"):
            Cell.parse(wrong)


def test_methods_enlarge_as_they_say_or_are_not_available() -> None:
    frames = [np.full((40, 48), 90.0, np.float32)] * 9
    for name in ("nearest", "bicubic", "lanczos", "nlm-lanczos", "average", "sequence", "classic"):
        made, seconds = methods.method(name, 2)(frames, (4, 5))
        assert len(made) == 1 and made[0].shape == (80, 96) and made[0].dtype == np.uint8 and seconds > 0
        assert (made[0] == 90).all(), name
    for name, factor in (("learned", 4), ("no-such-recipe", 4), ("model:no-such-model", 4)):
        with pytest.raises(methods.NotAvailable):
            methods.method(name, factor)


def test_the_document_agrees_with_the_scores() -> None:
    text = document.DOCUMENT.read_text("utf-8")
    assert document.combined(text) == text, "run: python -m tests.fidelity --write"
    with pytest.raises(ValueError, match="markers"):
        document.combined("no markers")
