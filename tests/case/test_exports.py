"""Copies for other programs: CASE/UCO graphs, viewing copies with content credentials."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import c2pa
import pytest
from PIL import Image

from forensic.case import exporting
from forensic.case.workspace import open_workspace
from forensic.errors import ForensicError
from forensic.frames.stageclass import StageClass
from forensic.media.label import LABEL, burn
from forensic.media.reader import ExhibitReader
from forensic.media.viewing import write_viewing_copy
from tests.case.conftest import Case, forensic


def _export(case: Case, target: Path, *more: object) -> dict[str, Any]:
    done = forensic("export", case.run_id, target, "-w", case.root, "--json", *more)
    assert done.code == 0, done.err
    assert hashlib.sha256(target.read_bytes()).hexdigest() == done.json["sha256"]
    facts: dict[str, Any] = done.json
    return facts


def _credentials(path: Path, media_type: str) -> dict[str, Any]:
    with path.open("rb") as stream, c2pa.Reader(media_type, stream) as reader:
        found: dict[str, Any] = json.loads(reader.json())
    return found


def test_the_graph_conforms_to_case_and_tells_every_attempt(attacked: Case, tmp_path: Path) -> None:
    refused = forensic("enhance", attacked.predicate()["exhibit"]["id"], "-w", attacked.root, "--frames", "5:5")
    assert refused.code != 0
    target = tmp_path / "run.jsonld"
    _export(attacked, target)
    validated = subprocess.run(
        [Path(sys.executable).with_name("case_validate"), target], capture_output=True, text=True, check=False
    )
    assert validated.returncode == 0, validated.stdout[-2000:]
    assert "Conforms: True" in validated.stdout
    graph = json.loads(target.read_text("utf-8"))["@graph"]
    names = [node.get("uco-core:name") for node in graph]
    assert "run.refused" in names
    assert f"Enhancement, run {attacked.run_id}" in names
    hashes = {
        facet["uco-observable:hash"][0]["uco-types:hashValue"]["@value"].lower()
        for node in graph
        for facet in node.get("uco-core:hasFacet", [])
        if "uco-observable:hash" in facet
    }
    assert hashlib.sha256((attacked.run / "output.mkv").read_bytes()).hexdigest() in hashes
    assert attacked.predicate()["exhibit"]["sha256"] in hashes


def test_a_viewing_copy_shows_every_frame_and_its_credentials_name_the_run(attacked: Case, tmp_path: Path) -> None:
    target = tmp_path / "viewing.mp4"
    facts = _export(attacked, target)
    counted = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries",
         "stream=nb_read_frames,codec_name,pix_fmt", "-of", "json", target], capture_output=True, text=True, check=True,
    )  # fmt: skip
    stream = json.loads(counted.stdout)["streams"][0]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert int(stream["nb_read_frames"]) == facts["frames"] == attacked.predicate()["output"]["frames"]["count"]
    found = _credentials(target, "video/mp4")
    assert found["validation_state"] == "Valid"
    manifest = found["manifests"][found["active_manifest"]]
    about = next(one["data"] for one in manifest["assertions"] if one["label"] == "org.forensic-tool.run")
    assert about["run"] == attacked.run_id
    assert about["attestation_sha256"] == hashlib.sha256((attacked.run / "attestation.json").read_bytes()).hexdigest()
    assert facts["credentials"]["key_id"] == attacked.predicate()["examiner"]["identity"]["key_id"]


@pytest.mark.parametrize(("name", "media_type"), [("one.png", "image/png"), ("one.jpg", "image/jpeg")])
def test_a_picture_carries_valid_credentials(attacked: Case, tmp_path: Path, name: str, media_type: str) -> None:
    target = tmp_path / name
    _export(attacked, target, "--frame", "3")
    geometry = attacked.predicate()["output"]["geometry"]
    with Image.open(target) as picture:
        assert picture.size == (geometry["width"], geometry["height"])
    assert _credentials(target, media_type)["validation_state"] == "Valid"


def test_a_changed_viewing_copy_breaks_its_credentials(attacked: Case, tmp_path: Path) -> None:
    target = tmp_path / "viewing.mp4"
    _export(attacked, target)
    data = bytearray(target.read_bytes())
    at = data.index(b"mdat") + 2000
    data[at] ^= 1
    target.write_bytes(data)
    assert _credentials(target, "video/mp4")["validation_state"] == "Invalid"


def test_exports_and_failed_exports_are_on_the_record(attacked: Case, tmp_path: Path) -> None:
    _export(attacked, tmp_path / "one.png", "--frame", "0", "--no-credentials")
    again = forensic("export", attacked.run_id, tmp_path / "one.png", "--frame", "0", "-w", attacked.root)
    assert again.code == 2
    assert "export.exists" in again.err
    for target, more, code in (
        (tmp_path / "one.png", (), "export.frame"),
        (tmp_path / "x.gif", (), "export.kind"),
        (tmp_path / "y.png", ("--frame", "999"), "export.frame"),
        (attacked.root / "z.jsonld", (), "export.inside"),
    ):
        done = forensic("export", attacked.run_id, target, "-w", attacked.root, *more)
        assert done.code == 2, done.err
        assert code in done.err
    events = [entry["name"] for entry in forensic("log", "-w", attacked.root, "--json").json]
    assert events[-12:] == ["export.started", "export.written", *["export.started", "export.failed"] * 5]
    assert forensic("verify", attacked.root).code == 0


def test_a_changed_master_is_not_exported(attacked: Case, tmp_path: Path) -> None:
    output = attacked.run / "output.mkv"
    output.chmod(0o644)
    output.write_bytes(output.read_bytes() + b"x")
    done = forensic("export", attacked.run_id, tmp_path / "v.mp4", "-w", attacked.root)
    assert done.code == 1
    assert "run.changed" in done.err
    assert not (tmp_path / "v.mp4").exists()


def test_a_forged_list_of_files_is_not_exported_and_the_refusal_is_on_record(attacked: Case, tmp_path: Path) -> None:
    for name in ("output.mkv", "attestation.json"):
        path = attacked.run / name
        before = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(before + b" ")
        done = forensic("export", attacked.run_id, tmp_path / "x.jsonld", "-w", attacked.root)
        assert done.code in (1, 4), done.err  # what is there differs, or cannot even be read
        assert not (tmp_path / "x.jsonld").exists()
        path.write_bytes(before)
    events = [entry["name"] for entry in forensic("log", "-w", attacked.root, "--json").json]
    assert events[-4:] == ["export.started", "export.failed"] * 2


def test_a_file_that_appears_meanwhile_is_not_replaced(
    attacked: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "v.mp4"
    write = exporting.write_viewing_copy

    def meanwhile(*given: Any, **named: Any) -> dict[str, Any]:
        target.write_text("mine")
        return write(*given, **named)

    monkeypatch.setattr(exporting, "write_viewing_copy", meanwhile)
    with open_workspace(attacked.root, lambda: "") as workspace, pytest.raises(ForensicError):
        exporting.export(workspace, attacked.run_id, target, frame=None, credentials=False)
    assert target.read_text() == "mine"


def test_generative_pixels_are_labelled_in_a_viewing_copy(attacked: Case, tmp_path: Path) -> None:
    target = tmp_path / "viewing.mp4"
    write_viewing_copy(attacked.run / "output.mkv", target, stage_class=StageClass.GENERATIVE, title="Run X")
    with ExhibitReader(attacked.run / "output.mkv") as master, ExhibitReader(target) as copy:
        for before, after in zip(master.frames(), copy.frames(), strict=True):
            labelled = burn(before).planes[0][:12].astype(int)
            assert abs(labelled - after.planes[0][:12].astype(int)).mean() < 12
            assert abs(labelled - before.planes[0][:12].astype(int)).mean() > 30
    tags = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "format_tags=title", "-of", "json", target],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(tags.stdout)["format"]["tags"]["title"] == LABEL
