"""The document: what it says, what it refuses, that equal inputs give equal bytes."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from forensic.errors import BadInput, ForensicError, PolicyRefused, VerificationFailed
from forensic.hashes import sha256_file
from forensic.report.pictures import busiest, difference
from forensic.report.verification import check_report
from forensic.signing.identity import Identity
from forensic.signing.statement import STILL_PREDICATE, Subject, build_statement, sign_statement
from tests.report.example_history import history
from tests.report.example_run import RUN, ExampleRun, build_run, drawn_frame
from tests.report.files import build_pdf


def _text(pdf: Path) -> str:
    shown = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], check=True, capture_output=True)
    return shown.stdout.decode("utf-8")


def _pages(pdf: Path) -> list[str]:
    return _text(pdf).split("\f")[:-1]


def _built(folder: Path, identity: Identity, **options: Any) -> Path:
    run = build_run(folder / "run", identity, **options)
    build_pdf(run.predicate, run.folder, run.attestation, folder / "out.pdf")
    return folder / "out.pdf"


def test_the_report_tells_the_whole_record(unsigned: Path, run: ExampleRun) -> None:
    text = " ".join(_text(unsigned).split())
    for fact in (
        "2026-0147", "EX-1", "traffic_camera.mp4", "Which way does the vehicle turn", "Ada Examiner", "Lab 7",
        run.predicate["exhibit"]["sha256"], run.predicate["exhibit"]["frames"]["merkle_root"],
        run.predicate["output"]["sha256"], run.predicate["output"]["frames"]["merkle_root"],
        run.predicate["examiner"]["identity"]["certificate_sha256"], "self-issued", "without a passphrase",
        "permit-up-to-fidelity", "Stages that do not invent detail", "Non-local means", "grey levels", "default",
        "UNCALIBRATED", "null-space injection", "run.refused", "Recipe: none was named", f"forensic reproduce {RUN}",
        "sha256sum -c manifest.sha256", "openssl dgst -sha256 -verify", "does not identify any person",
        "only part of the frames was asked for", "duplicate", "same picture as frame 16",
    ):  # fmt: skip
        assert fact in text, fact


def test_every_page_carries_its_number_and_the_run(unsigned: Path) -> None:
    pages = _pages(unsigned)
    assert len(pages) > 8
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page
        assert f"Run {RUN}" in page
        assert "Case 2026-0147 · Exhibit EX-1" in page


def test_every_page_of_the_risk_section_says_uncalibrated(unsigned: Path) -> None:
    pages = _pages(unsigned)
    risk = [page for page in pages if "uncalibrated risk map" in page]
    assert len(risk) == 2
    assert all("RISK MAP: UNCALIBRATED" in page for page in risk)


def test_the_contents_name_the_right_pages(unsigned: Path) -> None:
    pages = _pages(unsigned)
    entries = re.findall(r"^\s*(\d+)\s+(\S.*?)\s+(\d+)\s*$", next(p for p in pages if "Contents" in p), re.M)
    assert len(entries) >= 14
    for number, title, page in entries[:14]:
        assert re.search(rf"^\s*{number}\s+{re.escape(title)}\s*$", pages[int(page) - 1], re.M), title


def test_equal_inputs_give_equal_bytes(tmp_path: Path, unsigned: Path, run: ExampleRun) -> None:
    build_pdf(run.predicate, run.folder, run.attestation, tmp_path / "again.pdf")
    assert (tmp_path / "again.pdf").read_bytes() == unsigned.read_bytes()


def test_equal_inputs_give_equal_bytes_after_other_scripts_were_shaped(
    tmp_path: Path, identity: Identity, unsigned: Path, run: ExampleRun
) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate["exhibit"]["file_name"] = "تسجيل शक्ति.mp4"

    _built(tmp_path, identity, change=change)
    build_pdf(run.predicate, run.folder, run.attestation, tmp_path / "again.pdf")
    assert (tmp_path / "again.pdf").read_bytes() == unsigned.read_bytes()


def test_a_hostile_record_is_shown_and_not_obeyed(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        exhibit = predicate["exhibit"]
        exhibit["file_name"] = "\x1b[31m<b>&amp;</b>\u202egpj.exe " + "long_" * 60 + "监控.mp4"
        exhibit["note"] = "word " * 4000
        exhibit["anomalies"] = [{"kind": "damaged", "frame": n, "pts": n, "detail": "x" * 300} for n in range(500)]
        exhibit["anomaly_counts"] = {"damaged": 500}
        predicate["case"]["id"] = "案" * 120
        predicate["recipe"]["stages"][0].update(artefacts=[], references=[], parameters={}, why="")
        predicate["defaults"] = predicate["warnings"] = predicate["failed_attempts"] = []
        predicate["environment"] = {"a": {"b": [{"c": None}, []]}, "": ""}
        predicate["risk"]["frames"][0]["regions_not_listed"] = 91

    pages = _pages(_built(tmp_path, identity, change=change))
    text = " ".join(" ".join(pages).split())
    assert "‹U+001B›[31m<b>&amp;</b>‹U+202E›gpj.exe" in text
    assert "\\u001b[31m" in text
    assert "the first 40 of 500" in text
    assert "91 more regions are not printed" in text
    assert "No value was defaulted." in text
    assert text.count("word") >= 4000


def test_a_record_with_nothing_optional_is_reported(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        for key in ("exhibit", "policy", "environment", "selection", "tracks", "examiner", "workspace", "risk", "run"):
            predicate[key] = {}
        predicate["stills"] = predicate["models"] = []

    text = _text(_built(tmp_path, identity, change=change))
    assert "not stated" in text
    assert "not recorded" not in text
    assert "denied" in text  # a policy that does not say "allowed" did not allow


def test_generated_pictures_are_marked_on_every_page(tmp_path: Path, identity: Identity) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate["run"]["mode"] = "creative"
        predicate["output"].update(stage_class="generative", labelled=True)

    pages = _pages(_built(tmp_path, identity, change=change))
    assert "Record of AI-generated pictures: not evidence" in pages[0]
    assert all(page.count("AI-GENERATED DETAIL — NOT EVIDENCE") >= 2 for page in pages)


@pytest.mark.parametrize("place", ["stage", "model", "still"])
def test_a_generative_part_marks_the_whole_report_whatever_the_output_claims(
    tmp_path: Path, identity: Identity, place: str
) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate["output"]["labelled"] = True
        if place == "stage":
            predicate["recipe"]["stages"][0]["class"] = "generative"
        elif place == "model":
            predicate["models"] = [{"id": "gan", "class": "generative"}]
        else:
            predicate["stills"][0]["stage_class"] = "generative"

    pages = _pages(_built(tmp_path, identity, change=change))
    assert all("AI-GENERATED DETAIL — NOT EVIDENCE" in page for page in pages)


def _sidecar(run: ExampleRun, identity: Identity, stage_class: str) -> Path:
    still = run.folder / "stills" / "000005.png"
    subject = Subject(still.name, sha256_file(still))
    path = still.with_name("000005.png.json")
    statement = build_statement(STILL_PREDICATE, [subject], {"stage_class": stage_class})
    path.write_bytes(sign_statement(statement, identity))
    return path


def test_a_sidecar_that_says_generative_is_believed(tmp_path: Path, identity: Identity) -> None:
    run = build_run(tmp_path / "run", identity)
    _sidecar(run, identity, "generative")
    with pytest.raises(VerificationFailed) as caught:  # the run claims fidelity, and no label
        build_pdf(run.predicate, run.folder, run.attestation, tmp_path / "out.pdf")
    assert caught.value.code == "report.unlabelled"


def test_a_sidecar_that_does_not_verify_stops_the_report(tmp_path: Path, identity: Identity) -> None:
    run = build_run(tmp_path / "run", identity)
    path = _sidecar(run, identity, "fidelity")
    build_pdf(run.predicate, run.folder, run.attestation, tmp_path / "out.pdf")
    path.write_bytes(path.read_bytes().replace(b'"payload":"ey', b'"payload":"fy'))
    with pytest.raises(ForensicError):
        build_pdf(run.predicate, run.folder, run.attestation, tmp_path / "out.pdf")


def test_no_report_is_made_of_unlabelled_generated_pictures(tmp_path: Path, identity: Identity) -> None:
    with pytest.raises(VerificationFailed) as caught:
        _built(tmp_path, identity, change=lambda predicate: predicate["output"].update(stage_class="generative"))
    assert caught.value.code == "report.unlabelled"


@pytest.mark.parametrize("stage_class", [None, "Fidelity", "harmless", 2])
def test_an_unknown_class_is_refused(tmp_path: Path, identity: Identity, stage_class: Any) -> None:
    with pytest.raises(PolicyRefused):
        _built(tmp_path, identity, change=lambda predicate: predicate["output"].update(stage_class=stage_class))


def test_a_record_that_was_not_signed_is_refused(tmp_path: Path, run: ExampleRun) -> None:
    other = copy.deepcopy(run.predicate)
    other["exhibit"]["sha256"] = "00" * 32
    with pytest.raises(VerificationFailed) as caught:
        build_pdf(other, run.folder, run.attestation, tmp_path / "out.pdf")
    assert caught.value.code == "report.record-changed"


def test_another_schema_and_a_broken_attestation_are_refused(tmp_path: Path, run: ExampleRun) -> None:
    with pytest.raises(BadInput):
        build_pdf({**run.predicate, "schema": "x"}, run.folder, run.attestation, tmp_path / "out.pdf")
    with pytest.raises(ForensicError):
        build_pdf(run.predicate, run.folder, run.attestation[:-9], tmp_path / "out.pdf")


def _swap(path: Path) -> None:
    Image.new("RGB", (352, 288), (9, 9, 9)).save(path)


def _link(path: Path) -> None:
    kept = path.with_name("kept.png")
    path.rename(kept)
    path.symlink_to(kept)


@pytest.mark.parametrize("name", ["stills/000005.png", "stills/000005.source.png", "risk/000005.overlay.png",
                                  "risk/000005.level.png", "risk/000005.risk.png"])  # fmt: skip
@pytest.mark.parametrize("attack", [_swap, Path.unlink, _link], ids=["swapped", "missing", "linked"])
def test_a_picture_that_is_not_the_recorded_one_stops_the_report(
    tmp_path: Path, run: ExampleRun, name: str, attack: Callable[[Path], None]
) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    attack(tmp_path / "run" / name)
    with pytest.raises(VerificationFailed) as caught:
        build_pdf(run.predicate, tmp_path / "run", run.attestation, tmp_path / "out.pdf")
    assert caught.value.code == "report.picture-changed"


@pytest.mark.parametrize("name", ["../secret.png", "/etc/hostname", "stills/../../secret.png", "C:\\x.png"])
def test_a_picture_outside_the_run_folder_is_refused(tmp_path: Path, identity: Identity, name: str) -> None:
    drawn_frame(0).save(tmp_path / "secret.png")
    with pytest.raises(VerificationFailed) as caught:
        _built(tmp_path, identity, change=lambda predicate: predicate["stills"][0].update(after=name))
    assert caught.value.code == "report.picture-changed"


def test_a_manifest_that_contradicts_the_record_stops_the_report(tmp_path: Path, run: ExampleRun) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "manifest.sha256").write_text(f"{'0' * 64}  stills/000005.png\n")
    with pytest.raises(VerificationFailed):
        build_pdf(run.predicate, tmp_path / "run", run.attestation, tmp_path / "out.pdf")


@pytest.mark.parametrize(
    ("stage", "why"), [("rotate", "moved or reshaped"), ("crop", "does not lie within")], ids=["rotated", "bad-crop"]
)
def test_pictures_that_do_not_lie_on_one_another_are_not_subtracted(
    tmp_path: Path, identity: Identity, stage: str, why: str
) -> None:
    def change(predicate: dict[str, Any]) -> None:
        step = predicate["recipe"]["stages"][1]
        step.update(name=stage, title=stage.title())
        if stage == "crop":
            predicate["selection"]["roi"] = [100, 100, 100, 100]

    text = " ".join(_text(_built(tmp_path, identity, change=change)).split())
    assert "No difference picture" in text
    assert why in text


def test_a_region_of_interest_is_compared_with_the_same_region(tmp_path: Path, identity: Identity) -> None:
    run = build_run(
        tmp_path / "run", identity, frames=(3,), change=lambda p: p["selection"].update(roi=[0, 0, 176, 144])
    )
    build_pdf(run.predicate, run.folder, run.attestation, tmp_path / "out.pdf")
    assert "Difference, amplified" in _text(tmp_path / "out.pdf")


def test_a_difference_states_its_size() -> None:
    before = Image.new("RGB", (64, 64), (100, 100, 100))
    after = before.copy()
    after.paste((140, 140, 140), (0, 0, 32, 64))
    measured = difference(before, after)
    assert (measured.mean_absolute, measured.percentile_99, measured.largest) == (20.0, 40, 40)
    assert (measured.gain, measured.changed_share) == (2, 0.5)
    assert measured.image.getpixel((5, 5)) == 255 - 80
    assert measured.image.getpixel((60, 5)) == 255


def test_the_detail_is_where_the_structure_is() -> None:
    picture = Image.new("RGB", (400, 300), (90, 90, 90))
    picture.paste(drawn_frame(1, (60, 40)), (260, 180))
    x, y = busiest(picture, 80, 60)
    assert x <= 264 and x + 80 >= 316 and y <= 184 and y + 60 >= 216


def test_an_unsigned_report_is_not_sound(unsigned: Path, run: ExampleRun) -> None:
    check = check_report(unsigned)
    assert not check.sound
    assert check.signature_count == 0
    assert check.attestation == run.attestation


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, part in inner for found in _places(part, (*path, key)))]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**53 - 1) | st.floats(-1e9, 1e9) | st.text(max_size=9),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
    max_leaves=5,
)


@settings(max_examples=40)
@given(st.data())
def test_any_value_anywhere_in_the_record_gives_a_report_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, identity: Identity, data: st.DataObject
) -> None:
    def change(predicate: dict[str, Any]) -> None:
        predicate.update(history(predicate))
        for _ in range(3):
            *parents, last = data.draw(st.sampled_from(_places(predicate)[1:]))
            holder: Any = predicate
            for key in parents:
                holder = holder[key]
            holder[last] = data.draw(_JSON)

    folder = tmp_path_factory.mktemp("any")
    run = build_run(folder / "run", identity, frames=(2,), change=change)
    try:
        build_pdf(run.predicate, run.folder, run.attestation, folder / "out.pdf")
    except ForensicError as error:
        assert error.code.split(".")[0] in ("report", "class", "statement")
    else:
        assert (folder / "out.pdf").read_bytes().startswith(b"%PDF-")
