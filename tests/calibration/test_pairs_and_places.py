"""``forensic calibrate``: pairs that are none, names that are no text, and places where no result may lie."""

from __future__ import annotations

import os
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forensic.case.calibrating import measuring, preparing, record
from forensic.case.calibrating.calibrate import CalibrateRequest, calibrate
from forensic.case.calibrating.pairs import Given, Pair
from forensic.case.calibrating.preparing import _is_generative
from forensic.case.calibrating.reading import Taken, digest_of, take
from forensic.case.progress import Silent
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, open_workspace
from forensic.errors import BadInput, ForensicError, UsageError
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.media.label import EDGES, EVERYWHERE, burn
from forensic.media.reader import ExhibitReader
from forensic.media.watermark import marked
from forensic.media.watermark_keys import PUBLIC_MARK
from forensic.risk.calibration.quantisers import strata_of
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe
from tests.calibration import laboratory


def _request(pairs: Path, **asked: Any) -> CalibrateRequest:
    return CalibrateRequest(pairs=pairs, class_name="Charts", score="sum", workers=1, **asked)


def _entries(workspace: Workspace) -> list[Any]:
    return [entry for entry in workspace.ledger.entries() if entry.event.startswith("calibration.")]


def test_a_reference_that_is_the_recording_is_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory.made_up(monkeypatch)
    pairs = laboratory.manifest(tmp_path / "pairs", 4)
    (pairs / "r1.png").write_bytes((pairs / "d1.mp4").read_bytes())  # the file itself
    (pairs / "r2.png").write_bytes(b"degraded 2 ")  # another file of the same picture
    with laboratory.workspace(tmp_path / "ws") as workspace:
        calibrate(workspace, _request(pairs), Silent())
        (registered, _) = _entries(workspace)
    found = {one["pair"]["reference"]: (one["code"], one["reason"]) for one in registered.data["refused"]}
    assert found.keys() == {"r1.png", "r2.png"} and {code for code, _ in found.values()} == {"calibration.pair"}
    assert "the recording itself" in found["r1.png"][1] and "the recorded picture itself" in found["r2.png"][1]


def test_the_recorded_luma_in_another_format_is_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.tile(np.arange(64, 192, dtype=np.uint8), (64, 1))
    chroma = np.full((32, 64), 128, np.uint8)
    colour, timing = ColourSpec(full_range=True), FrameTiming(0, 0, Fraction(1, 25))
    frames = {
        name: CodedFrame(planes, Geometry(128, 64, LAYOUTS[layout]), colour, timing, StageClass.PRESENTATION)
        for name, layout, planes in (("d", "yuv420p", (plane, chroma, chroma)), ("r", "gray", (plane,)))
    }
    monkeypatch.setattr(preparing, "take", lambda path, *_, **__: Taken(path.name, 0, frames[path.name]))
    digests = {"reference_sha256": "r", "degraded_sha256": "d"}
    given, pair = Given(Path(), "names", "", ()), Pair("a", "r", "d")
    with pytest.raises(BadInput, match="the recorded luma itself"):
        preparing._prepared(given, pair, digests, preparing.Asked(1, "sum/1", strata_of(())), None)


def test_names_that_are_no_text_are_refused_on_record(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for name in (b"B\xfcro.reference.png", b"B\xfcro.degraded.mp4"):
        (tmp_path / "pairs" / os.fsdecode(name)).write_bytes(b"x")
    with laboratory.workspace(tmp_path / "ws") as workspace:
        with pytest.raises(ForensicError) as refused:
            calibrate(workspace, _request(tmp_path / "pairs"), Silent())
        (entry,) = _entries(workspace)
    assert (refused.value.code, entry.event) == ("calibration.pairs", "calibration.refused")
    assert "\\udcfc" in refused.value.message and "not UTF-8" in entry.data["reason"]


@pytest.mark.parametrize("way", ["link", "up", "workspace"])
def test_a_place_in_the_workspace_is_one_by_whatever_way_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    laboratory.made_up(monkeypatch)
    pairs, real = laboratory.manifest(tmp_path / "pairs", 2), tmp_path / "real"
    laboratory.workspace(real / "ws").close()
    (tmp_path / "link").symlink_to(real)
    root = tmp_path / "link" / "ws" if way == "workspace" else real / "ws"
    given = {"link": tmp_path / "link" / "ws", "up": tmp_path / "link" / ".." / "real" / "ws", "workspace": real / "ws"}
    with open_workspace(root, lambda: "") as workspace:
        for wrong in (given[way] / "mine", given[way] / "runs" / "mine"):
            with pytest.raises(ForensicError) as refused:
                calibrate(workspace, _request(pairs, out=wrong), Silent())
            assert refused.value.code == "calibration.place"
        calibrate(workspace, _request(pairs, out=given[way] / "calibrations" / "mine"), Silent())
        assert _entries(workspace)[-1].data["folder"] == "calibrations/mine"
    assert (real / "ws" / "calibrations" / "mine" / "attestation.json").exists()
    assert verify(real / "ws").verdict >= Verdict.SIGNED


def test_nothing_is_written_among_the_pairs(tmp_path: Path) -> None:
    pairs = laboratory.manifest(tmp_path / "pairs", 2)
    (tmp_path / "link").symlink_to(pairs)
    with laboratory.workspace(tmp_path / "ws") as workspace, pytest.raises(ForensicError) as refused:
        calibrate(workspace, _request(pairs, out=tmp_path / "link" / "result"), Silent())
    assert refused.value.code == "calibration.place" and len(list(pairs.iterdir())) == 5


def test_generated_detail_is_known_by_either_label_and_after_coding(street_clip: Path, tmp_path: Path) -> None:
    with ExhibitReader(street_clip, StageClass.GENERATIVE) as reader:
        frame = next(iter(reader.frames()))
    plain, coded = tmp_path / "plain.mp4", tmp_path / "coded.mp4"
    for picture, target in ((frame, plain), (marked(frame, PUBLIC_MARK), coded)):
        raw, geometry = b"".join(plane.tobytes() for plane in picture.planes), picture.geometry
        size = f"{geometry.width}x{geometry.height}"
        shape = ["-f", "rawvideo", "-pix_fmt", geometry.layout.name, "-s", size, "-i", "-"]
        coder = ["-c:v", "libx264", "-threads", "1", "-crf", "20"]
        subprocess.run(["ffmpeg", "-v", "error", *shape, *coder, str(target)], input=raw, check=True)
    for form in (EDGES, EVERYWHERE):
        assert _is_generative(Taken("0" * 64, 0, burn(frame, form)))
    assert _is_generative(take(coded, 0, digest_of(coded)))
    assert not _is_generative(take(plain, 0, digest_of(plain)))


def test_why_no_pair_could_be_used_is_on_record_with_every_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    monkeypatch.setattr(record, "MOST_TOLD", 2)
    pairs = laboratory.manifest(tmp_path / "pairs", 4)
    for number in range(4):
        (pairs / f"r{number}.png").write_bytes((pairs / f"d{number}.mp4").read_bytes())
    with laboratory.workspace(tmp_path / "ws") as workspace:
        with pytest.raises(BadInput) as refused:
            calibrate(workspace, _request(pairs), Silent())
        (entry,) = _entries(workspace)
    assert refused.value.code == "calibration.no-pairs" and entry.event == "calibration.refused"
    told = entry.data["refused_pairs"]
    assert (told["count"], told["by_code"], len(told["first"])) == (4, {"calibration.pair": 4}, 2)
    assert "the recording itself" in told["first"][0]["reason"] and len(told["first"][0]["degraded_sha256"]) == 64


def test_a_folder_or_an_argument_that_is_no_text_is_refused_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    strange = Path(os.fsdecode(bytes(tmp_path / "pairs") + b"\xff"))
    pairs = laboratory.manifest(tmp_path / "pairs", 2)
    pairs.rename(strange)
    with laboratory.workspace(tmp_path / "ws") as workspace:
        for request in (_request(strange), _request(tmp_path, out=strange), _request(tmp_path, command=("\udcff",))):
            with pytest.raises(UsageError) as refused:
                calibrate(workspace, request, Silent())
            assert refused.value.code == "calibration.place" and "not UTF-8" in refused.value.message
        entries = _entries(workspace)
    assert [entry.event for entry in entries] == ["calibration.refused"] * 3


def test_names_that_no_entry_of_the_ledger_holds_are_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.made_up(monkeypatch)
    pairs = laboratory.manifest(tmp_path / "pairs", 3)
    table = (pairs / "pairs.csv").read_text("utf-8")
    with laboratory.workspace(tmp_path / "ws") as workspace:
        (pairs / "pairs.csv").write_text(table.replace("camera 0", "x" * 501), "utf-8")
        with pytest.raises(UsageError, match="longer than 500"):
            calibrate(workspace, _request(pairs), Silent())
        (pairs / "pairs.csv").write_text(table, "utf-8")
        monkeypatch.setattr(record, "MAX_ENTRY_BYTES", 66_000)
        with pytest.raises(UsageError, match="an entry of the ledger holds"):
            calibrate(workspace, _request(pairs), Silent())
        assert [entry.event for entry in _entries(workspace)] == ["calibration.refused"] * 2


def test_how_long_it_will_take_is_said_before_it_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory.made_up(monkeypatch)
    said: list[str] = []

    class Listening(Silent):
        def say(self, message: str) -> None:
            said.append(message)

    with laboratory.workspace(tmp_path / "ws") as workspace:
        calibrate(workspace, _request(laboratory.manifest(tmp_path / "pairs", 3)), Listening())
    places = [number for number, one in enumerate(said) if one.startswith(("Measuring 3 pairs", "Calibration C-"))]
    assert len(places) == 2 and said[places[0]].startswith("Measuring 3 pairs will take about ")


def test_the_trial_measures_as_the_pairs_are_measured() -> None:
    bound = load_recipe("light").bind()
    pace = measuring.trial(Pipeline([stage for stage in bound.stages if not stage.keeps_luma]), None)
    assert pace.seconds > 0.0 and pace.pixels == 64 * 48
