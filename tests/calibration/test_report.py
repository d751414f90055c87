"""The report of a calibration: what a laboratory files, of the signed record alone, and bound to it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from forensic.case.calibrating import preparing
from forensic.case.calibrating.calibrate import CalibrateRequest, FinishedCalibration, calibrate
from forensic.case.calibrating.citing import own_calibration
from forensic.case.filelist import write_manifest
from forensic.case.layout import CalibrationFolder
from forensic.case.progress import Silent
from forensic.case.timestamping import pending
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import open_workspace
from forensic.errors import BadInput, VerificationFailed
from forensic.hashes import canonical_json, sha256_bytes
from forensic.report.calibration.document import build_calibration_pdf
from forensic.stages.recipe import load_recipe
from tests.calibration import laboratory

CLASS = "Corridor cameras of building B, every third day of May 2026"


@dataclass(frozen=True)
class Filed:
    """A workspace with a calibration of two strata, the first of them empty, and two refused pairs."""

    root: Path
    done: FinishedCalibration

    @property
    def folder(self) -> CalibrationFolder:
        """Where it lies."""
        return CalibrationFolder(self.done.folder)

    @property
    def attestation(self) -> bytes:
        """The signed record."""
        return self.folder.attestation.read_bytes()

    @property
    def files(self) -> dict[str, bytes]:
        """What the report is made of beside the record."""
        return {path.name: path.read_bytes() for path in (self.folder.calibration, self.folder.registration)}

    def copied(self, to: Path) -> CalibrationFolder:
        """A private copy of the workspace, and the calibration in it."""
        shutil.copytree(self.root, to)
        return CalibrationFolder(to / "calibrations" / self.done.folder.name)


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Filed:
    """Do not change it: copy it."""
    root = tmp_path_factory.mktemp("filed")
    with pytest.MonkeyPatch.context() as patched:
        laboratory.made_up(patched, fails_from=9.0)
        patched.setattr(laboratory, "QUANTISERS", (21.0, 28.0))
        taken = preparing.take

        def take(path: Path, *rest: Any, **how: Any) -> Any:
            if path.name in ("r7.png", "r8.png"):
                raise BadInput("calibration.pair", f"{path.name} has no frame 4")
            return taken(path, *rest, **how)

        patched.setattr(preparing, "take", take)
        with laboratory.workspace(root / "ws") as workspace:
            request = CalibrateRequest(
                laboratory.manifest(root / "pairs", 110), CLASS, score="sum", workers=1, strata=(20.0, 28.0),
                deviations=("The references were photographed from 12 cm beside the camera.",),
            )  # fmt: skip
            done = calibrate(workspace, request, Silent())
    return Filed(root / "ws", done)


def _text(report: Path) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(report).pages).split())


def test_it_says_what_a_laboratory_files(filed: Filed) -> None:
    told, own = _text(filed.folder.report), filed.done.calibration.laboratory
    assert own is not None and filed.done.calibration.strata[1].threshold == 8.0
    for said in (
        "Calibration report", CLASS, own.id, "A LOW label exists in 1 of 2 strata",
        "we are 95% confident that in at least 95% of such recordings at most 5% of the pixels marked LOW",
        "No statement is permitted", "tested on 81 independent scenes", "81, p = 1", "0, p = 0.016",
        "Clopper and Pearson", "0 of 27 (0.0 % to 12.8 %)", "dark", "text-like", "r7.png", "r8.png",
        "the reference has no frame #", "110 pairs were given, 2 of them refused", "12 cm beside the camera",
        filed.done.calibration.sha256, "forensic verify", "That any place in a picture is correct",
        "No calibration of this model was registered in this workspace before this one.",
    ):  # fmt: skip
        assert said in told, said
    assert "likely to be correct" not in told and "numpy" in told


def test_equal_inputs_give_equal_bytes(filed: Filed) -> None:
    pdfs = {build_calibration_pdf(filed.done.predicate, filed.attestation, filed.files) for _ in range(2)}
    assert len(pdfs) == 1


def test_it_is_made_of_the_signed_files_alone(filed: Filed) -> None:
    artefact = json.loads(filed.files["calibration.json"])
    artefact["class"] = "All recordings of the world"
    for name, data in (("calibration.json", canonical_json(artefact)), ("registration.json", b"{}")):
        with pytest.raises(VerificationFailed) as refused:
            build_calibration_pdf(filed.done.predicate, filed.attestation, filed.files | {name: data})
        assert refused.value.code == "report.record-changed"
    with pytest.raises(VerificationFailed):
        build_calibration_pdf({**filed.done.predicate, "warnings": []}, filed.attestation, filed.files)


def test_it_is_verified_with_its_folder_and_alone(filed: Filed) -> None:
    found = verify(filed.folder.root)
    assert found.verdict >= Verdict.SIGNED and {"R1", "R2", "R3", "R4"} <= {one.number for one in found.checks}
    alone = verify(filed.folder.report)
    assert (alone.verdict, alone.kind) == (Verdict.SIGNED, "report of a calibration")
    assert any("follow from the counts" in one for one in alone.not_checked)
    assert b"Signature is Valid" in subprocess.run(["pdfsig", filed.folder.report], capture_output=True).stdout


def _again(folder: CalibrationFolder) -> None:
    """The list of files as it is now: whoever exchanges a file writes that anew, too."""
    folder.manifest.unlink()
    write_manifest(folder, {folder.name(path): sha256_bytes(path.read_bytes()) for path in folder.files()})


def test_a_report_of_another_calibration_is_found_and_refused(
    filed: Filed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = filed.copied(tmp_path / "ws")
    with monkeypatch.context() as patched, open_workspace(tmp_path / "ws", lambda: "") as workspace:
        laboratory.made_up(patched)
        other = calibrate(
            workspace, CalibrateRequest(laboratory.manifest(tmp_path / "p", 3), CLASS, score="sum"), Silent()
        )
        folder.report.write_bytes(CalibrationFolder(other.folder).report.read_bytes())
        _again(folder)
        with pytest.raises(VerificationFailed) as refused:
            own_calibration(workspace, folder.root, load_recipe("light").bind().stages)
    assert refused.value.code == "calibration.not-completed"  # the ledger names the digest of another
    failed = {check.number for check in verify(folder.root).checks if not check.passed}
    assert failed == {"R3", "E3"}


@pytest.mark.parametrize("gone", [True, False])
def test_one_bit_of_the_report_or_the_whole_of_it(filed: Filed, tmp_path: Path, gone: bool) -> None:
    folder = filed.copied(tmp_path / "ws")
    if gone:
        folder.report.unlink()
    else:
        data = bytearray(folder.report.read_bytes())
        data[len(data) // 2] ^= 1
        folder.report.write_bytes(data)
    failed = {check.number for check in verify(folder.root).checks if not check.passed}
    assert failed >= ({"M2", "R1", "E3"} if gone else {"M5", "R1", "E3"})


def test_its_timestamp_is_fetched_as_that_of_every_report(filed: Filed) -> None:
    with open_workspace(filed.root, None) as workspace:
        names = [one.name for one in pending(workspace)]
    assert names == [f"report.pdf of calibration {filed.done.id}"]


def test_recordings_that_do_not_add_up_are_found(filed: Filed, tmp_path: Path) -> None:
    folder = filed.copied(tmp_path / "ws")
    head, first, *rest = folder.recordings.read_text("utf-8").splitlines()
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    cells["pixels_flat"] = "999"
    folder.recordings.write_text("\n".join([head, ",".join(cells.values()), *rest]) + "\n", "utf-8")
    checks = {check.number: check for check in verify(folder.root).checks}
    assert not checks["E2"].passed
