"""What single sections say: assumptions, what is not carried, regions, measurements, the difference picture."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from forensic.report.pictures import darkest, difference
from forensic.report.values import flatten, spoken
from forensic.signing.identity import Identity
from tests.report.example_history import history
from tests.report.example_run import RUN
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


def test_the_place_of_a_regions_worst_tile_is_printed_with_its_risk(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        first, second = predicate["risk"]["frames"][0]["regions"]
        first["worst_tile"] = [96, 80]
        del second["worst_tile"]  # a record that does not tell it

    page = next(p for p in _pages(_built(tmp_path, identity, change=change)) if "Risk, worst tile" in p)
    assert re.search(r"HIGH\s+64, 64\s+48 × 32\s+6\s+9\.71 at 96, 80\s+null-space", page)
    assert re.search(r"MEDIUM\s+48, 32\s+112 × 64\s+22\s+4\.20\s+range", page)


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


# Chain of custody and appendices


def _with_history(repeated: int = 1) -> Any:
    return lambda predicate: predicate.update(history(predicate, repeated))


def _words(pdf: Path) -> str:
    """The text cell by cell, where ``-layout`` would go line by line through all cells of a row."""
    shown = subprocess.run(["pdftotext", "-raw", str(pdf), "-"], check=True, capture_output=True)
    return " ".join(shown.stdout.decode("utf-8").split())


def test_the_custody_page_tells_people_and_program(tmp_path: Path, identity: Identity) -> None:
    text = _words(_built(tmp_path, identity, change=_with_history()))
    for fact in (
        "Chain of custody", "stated 2026-02-27 16:30:00 +01:00", "recorded 2026-03-01 09:00:00 UTC", "J. Warden",
        "seal: evidence bag 00417, seal intact", "All entries were signed by O=Lab 7,CN=Ada Examiner", "A. Counsel",
        "Accessed: computed", "reason: Viewing with the defence", "Copied to /media/stick/EX-1.mp4", "Second opinion",
        "A change was found", "recorded by the program", "This run.",
    ):  # fmt: skip
        assert fact in text, fact


def test_receipts_are_told_as_acknowledged_or_not(tmp_path: Path, identity: Identity) -> None:
    text = _words(_built(tmp_path, identity, change=_with_history()))
    receipts = text.partition("Receipts for what was handed on")[2].partition("A stated time is what")[0]
    assert "acknowledged; signed by O=Institute,CN=B. Second, certificate SHA-256" in receipts
    assert receipts.count("Not acknowledged up to this run.") == 1
    assert "to Court Registry" in receipts


def test_a_receipt_on_paper_is_called_the_senders_word(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate.update(history(predicate))
        for event in predicate["custody"]["events"]:
            if event["event"] == "custody.acknowledged":
                event["data"] |= {"on_paper": "Registry, book 17", "accepted": None, "signer": None}

    assert "on paper, says the sender; the program has not seen it: Registry, book 17" in _words(
        _built(tmp_path, identity, change=change)
    )


def test_every_run_and_attempt_stands_in_appendix_a_with_its_entries(tmp_path: Path, identity: Identity) -> None:
    appendix = _words(_built(tmp_path, identity, change=_with_history())).partition("Runs, one row each")[2]
    for fact in (
        "failed: storage.disk-full, No space left while writing output.mkv.", "refused: policy.denied",
        "interrupted: the process was killed", "resumed", "finished: fidelity", "no end on record", "this report",
        "Acquisition failed", "copy.mismatch", "custody.exported; export.exists", "Found changed",
        "Entries of this case 27, the last of them entry 28", "Repeated later, same recipe and frames, in run",
    ):  # fmt: skip
        assert fact in appendix, fact
    numbers = {int(number) for number in re.findall(r"(\d+) 2026-03-01 \d\d:\d\d:\d\d UTC", appendix)}
    assert numbers >= {4, *range(7, 16), 23, 24, 25, 26, 27, 28}


def test_a_run_under_another_id_is_told_under_that_id(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate.update(history(predicate))
        for event in predicate["custody"]["events"]:
            if event["run"] is not None and event["run"].endswith("aa0000"):
                event["exhibit"] = "OTHER-9"

    assert _words(_built(tmp_path, identity, change=change)).count("as exhibit OTHER-9") == 2


def test_a_long_history_goes_over_many_pages_without_loss(tmp_path: Path, identity: Identity) -> None:
    pdf = _built(tmp_path, identity, change=_with_history(120))
    pages = _pages(pdf)
    text = " ".join(" ".join(pages).split())
    assert len(pages) > 60
    assert text.count("No space left while writing output.mkv.") == 2 * 120
    assert "Entries of this exhibit" in text
    assert all(f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1))
    headed = [page for page in pages if re.search(r"^\s*Entry\s+When\s+Event\s+Who", page, re.M)]
    assert len(headed) > 15  # the header stands on each page of the table


def test_the_certification_is_a_draft_on_every_page_of_it(tmp_path: Path, identity: Identity) -> None:
    pages = _pages(_built(tmp_path, identity, change=_with_history()))
    drafts = [page for page in pages if "DRAFT, NOT SIGNED, NOT A CERTIFICATION" in page]
    assert len(drafts) == 2
    text = " ".join(" ".join(drafts).split())
    for fact in ("902(13)", "902(14)", "no legal advice", "28 U.S.C. § 1746", "penalty of perjury", "5e" * 31, RUN,
                 "REPRODUCED: all 100 frames", "forensic 0.1.0", "Signature", "____"):  # fmt: skip
        assert fact in text, fact
    assert "{" not in text


def test_generated_pictures_get_no_certification_text(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate.update(history(predicate))
        predicate["run"]["mode"] = "creative"
        predicate["output"].update(stage_class="generative", labelled=True)

    text = _text(_built(tmp_path, identity, change=change))
    assert "Appendix A" in text
    for wording in ("FRE 902", "Rule 902", "902(13)", "902(14)", "perjury"):
        assert wording not in text


def test_a_record_of_an_earlier_version_keeps_its_list(tmp_path: Path, identity: Identity) -> None:
    text = _words(_built(tmp_path, identity))
    assert "It has no custody list; the ledger has." in text
    assert text.count("policy.denied: stage test-generative is of generative class") == 2


def test_a_clip_held_to_a_frame_by_the_path_of_its_recipe_is_not_called_made_smooth(
    tmp_path: Path, identity: Identity
) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate["camera_path"] = None
        predicate["stabilisation"] = {"reference": 12, "path_given": True, "frames": 3}

    text = " ".join(_text(_built(tmp_path, identity, change=change)).split())
    assert "frame 12, path given by the recipe" in text and "made smooth" not in text


def test_label_and_acknowledgement_are_told_as_the_record_has_them(tmp_path: Path, identity: Identity) -> None:
    def generative(predicate: dict[str, Any], **output: object) -> None:
        predicate["run"].update(mode="creative", acknowledgement="as typed")
        predicate["recipe"]["stages"][0]["class"] = "generative"
        predicate["output"].update(stage_class="generative", labelled=True, **output)

    old = " ".join(_text(_built(tmp_path / "old", identity, change=generative)).split())
    new = _built(tmp_path / "new", identity, change=lambda predicate: generative(predicate, label_form=2))
    assert "at the edges. What lies beneath" in old and "over the picture. What lies" not in old
    assert "at the edges and over the picture. What lies beneath" in " ".join(_text(new).split())
    assert "Acknowledged as typed" in old and "none was needed" not in old

    def plain(predicate: dict[str, Any]) -> None:
        predicate["run"]["acknowledgement"] = "as typed"

    text = " ".join(_text(_built(tmp_path / "plain", identity, change=plain)).split())
    assert "Acknowledged as typed" not in text and "none was needed" in text
