"""What single sections say: assumptions, what is not carried, regions, measurements, the difference picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from forensic.report.pictures import darkest, difference
from forensic.report.values import flatten, spoken
from forensic.signing.identity import Identity
from tests.report.test_document import _built, _pages, _text


def test_differences_of_both_signs_do_not_cancel_in_a_reduced_picture() -> None:
    before = Image.new("L", (600, 600), 100)
    board = np.indices((600, 600)).sum(axis=0) % 2 * 40 + 80  # mean 100: a signed mean would show nothing
    measured = difference(before, Image.fromarray(board.astype(np.uint8)))
    reduced, side = darkest(measured.image, 100, 100)
    assert side == 3
    assert reduced.size == (200, 200)
    assert np.asarray(reduced).max() == 255 - 20 * measured.gain


def test_one_changed_element_stays_visible_in_a_reduced_picture() -> None:
    levels = np.full((301, 403), 255, np.uint8)
    levels[300, 402] = 7
    reduced, _ = darkest(Image.fromarray(levels), 60, 60)
    assert np.asarray(reduced)[-1, -1] == 7


def test_an_empty_list_is_none_and_a_missing_value_is_not_stated() -> None:
    rows = dict(flatten({"tags": [], "extra": {}, "title": None, "text": "", "rotation": None, "full": False}))
    assert rows == {"Tags": "none", "Extra": "none", "Title": "not stated", "Text": "not stated",
                    "Rotation": "none", "Full": "no"}  # fmt: skip


def test_lists_are_joined_by_what_their_parts_hold() -> None:
    assert spoken(["a", "b"]) == "a, b"
    assert spoken(["a, b", "c"]) == "a, b; c"
    assert spoken(["One thing.", "Another, too"]) == "One thing. Another, too."


def test_missing_frames_are_not_denied_where_they_cannot_be_counted(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate["exhibit"].update(anomalies=[], anomaly_counts={})
        predicate["exhibit"]["frames"]["vfr"] = True

    text = " ".join(_text(_built(tmp_path, identity, change=change)).split())
    assert "Missing frames cannot be counted" in text
    assert "No damaged, missing or duplicate" not in text


def test_what_is_assumed_for_display_and_not_carried_is_printed(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate["exhibit"]["colour"].update(matrix=2, full_range=None, display_matrix=6)
        predicate["exhibit"]["media"]["rotation"] = "-90.00"
        predicate["tracks"]["not_carried"].append({"type": "SEI user data", "count": 12, "reason": "not part of FFV1"})

    text = " ".join(_text(_built(tmp_path, identity, change=change)).split())
    for fact in ("Assumed matrix, for display BT.601 (6)", "Assumed range, for display limited", "rotation of -90.00",
                 "count 12; type SEI user data", "not part of FFV1"):  # fmt: skip
        assert fact in text, fact


def test_nothing_is_assumed_for_grey_pictures(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate["exhibit"]["colour"].update(matrix=2, full_range=None, display_matrix=6)
        for part in ("exhibit", "output"):
            predicate[part]["geometry"]["pixel_format"] = "gray"

    assert "Assumed" not in _text(_built(tmp_path, identity, change=change))


def test_clipped_regions_are_printed_and_large_ones_come_first(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        region = {"level": "MEDIUM", "x": 0, "y": 0, "w": 16, "h": 16, "risk_p90": 4.2, "driver": "range conflict"}
        regions = [{**region, "number": n, "tiles": 100 + n} for n in range(1, 24)]
        predicate["risk"]["frames"][0]["regions"] = [
            *regions,
            {**region, "number": 24, "tiles": 1, "driver": "clipped"},
        ]

    page = next(p for p in _pages(_built(tmp_path, identity, change=change)) if "Risk, worst tile" in p)
    numbers = [int(n) for n in re.findall(r"^\s*(\d+)\s+MEDIUM\s", page, re.M)]
    assert numbers == [*range(23, 9, -1), 24]


def test_measurements_of_a_model_stand_beside_one_another(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        values = (("plain", "bicubic", 30.5), ("plain", "net", 31.25), ("noisy", "net", 29.75))
        measured = [
            {"conditions": condition, "method": method, "metric": "PSNR-Y", "n": 18, "unit": "dB", "value": value}
            for condition, method, value in values
        ]
        predicate["models"] = [{"id": "net", "class": "fidelity", "measured": measured}]

    text = _text(_built(tmp_path, identity, change=change))
    assert re.search(r"Conditions\s+n\s+bicubic\s+net", text)
    assert re.search(r"plain\s+18\s+30\.5\s+31\.25", text)
    assert re.search(r"noisy\s+18\s+–\s+29\.75", text)
