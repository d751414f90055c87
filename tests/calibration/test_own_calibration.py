"""A run judged by the laboratory's own calibration: what it says and carries, and attacks on what it is judged by."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forensic.case.calibrating.calibrate import CalibrateRequest, calibrate
from forensic.case.calibrating.citing import own_calibration
from forensic.case.layout import CalibrationFolder, RunFolder
from forensic.case.progress import Silent
from forensic.case.verification.calibrations import check_cited_calibration
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.trust import NOTHING
from forensic.case.verify import verify
from forensic.case.workspace import open_workspace
from forensic.cli.main import run
from forensic.errors import VerificationFailed
from forensic.hashes import canonical_json, sha256_bytes
from forensic.signing.statement import CALIBRATION_PREDICATE, Subject, build_statement, sign_statement, verify_statement
from forensic.stages.recipe import load_recipe
from tests.calibration import laboratory
from tests.calibration.pairs import make_pair

BUNDLE_VERIFIER = Path(__file__).parents[2] / "docs" / "formats" / "verify_bundle.py"
STATUS = "CALIBRATED ON THE LABORATORY'S OWN PAIRS"


@dataclass(frozen=True)
class Made:
    """A workspace with a calibration that has LOW below 8, and a clip in its domain."""

    root: Path
    clip: Path
    folder: Path

    @property
    def files(self) -> CalibrationFolder:
        """The calibration."""
        return CalibrationFolder(self.folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Do not change it: copy it."""
    root = tmp_path_factory.mktemp("own")
    clip = make_pair(root / "clip", 1, columns=32, rows=32)[1]
    with pytest.MonkeyPatch.context() as patched:
        laboratory.made_up(patched, fails_from=9.0)
        with laboratory.workspace(root / "ws") as workspace:
            request = CalibrateRequest(laboratory.manifest(root / "pairs", 80), "Charts filmed in 2026", workers=1)
            done = calibrate(workspace, request, Silent())
    return Made(root / "ws", clip, done.folder)


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Made:
    """A private copy."""
    shutil.copytree(made.root, tmp_path / "ws")
    return Made(tmp_path / "ws", made.clip, tmp_path / "ws" / "calibrations" / made.folder.name)


def _enhance(given: Made, capsys: Any, *more: str, folder: Path | None = None, root: Path | None = None) -> Any:
    """Exit code, and the run's folder or the error's code."""
    command = ["enhance", str(given.clip), "-w", str(root or given.root), "--recipe", "light", "--frames", "4:5"]
    code = run([*command, "--calibration", str(folder or given.folder), "--json", "--quiet", *more])
    told = json.loads(capsys.readouterr().out)
    return code, Path(told["folder"]) if code == 0 else told["error"]["code"]


def _failed(target: Path) -> set[str]:
    verification = verify(target)
    assert verification.verdict is Verdict.FAILED
    return {check.number for check in verification.checks if not check.passed}


def _risk(folder: Path) -> dict[str, Any]:
    envelope = json.loads((folder / "attestation.json").read_bytes())
    risk: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["risk"]
    return risk


def test_the_run_cites_it_carries_it_and_is_verified_with_it_and_so_is_its_bundle(
    copied: Made, tmp_path: Path, capsys: Any
) -> None:
    code, folder = _enhance(copied, capsys)
    assert code == 0
    risk = _risk(folder)
    artefact = risk["calibration"]["artefact"]
    assert risk["status"] == STATUS and artefact["origin"] == "laboratory"
    told = risk["frames"][0]["summary"]["calibration"]
    assert told["low_below"] == 8 and told["n"] == 60
    assert any(
        "by Laboratory of Signals (A. Metrologist)" in one and "before anything was scored" in one
        for one in told["statements"]
    )
    assert any("Of 20 held-out recordings 20 lay in the domain" in one for one in told["statements"])
    assert {path.name for path in (folder / "calibration").iterdir()} == {
        "calibration.json", "registration.json", "recordings.csv", "attestation.json", "report.pdf",
    }  # fmt: skip
    assert "A8" in {check.number for check in verify(folder).checks if check.passed}
    text = subprocess.run(
        ["pdftotext", "-layout", folder / "report.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "The laboratory's own calibration" in text and "Charts filmed in 2026" in text
    bundle = tmp_path / "bundle.zip"
    assert run(["bundle", folder.name, "-w", str(copied.root), "--out", str(bundle), "--quiet"]) == 0
    verification = verify(bundle)
    assert verification.verdict >= Verdict.SIGNED
    assert not any("was registered before" in note for note in verification.not_checked)
    done = subprocess.run([sys.executable, BUNDLE_VERIFIER, bundle], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Somebody changes the counts that the run carries: the list of files can be made to agree, the signature cannot.
    rows = folder / "calibration" / "recordings.csv"
    rows.write_bytes(rows.read_bytes().replace(b"calibrate", b"test     ", 1))
    assert {"M5", "A4", "A8"} <= _failed(folder)


@pytest.mark.parametrize("name", ["calibration.json", "registration.json", "recordings.csv"])
def test_one_changed_byte_is_found_and_no_run_uses_it(copied: Made, capsys: Any, name: str) -> None:
    path = copied.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert {"M5", "A4"} <= _failed(copied.folder)
    assert _enhance(copied, capsys)[1] == "calibration.unsound"
    with open_workspace(copied.root, None) as workspace:
        *_, last = workspace.ledger.entries(event="run.refused")
    assert last.data["code"] == "calibration.unsound"


def test_without_a_signature_nobody_vouches_for_it(copied: Made, capsys: Any) -> None:
    copied.files.attestation.unlink()
    assert _enhance(copied, capsys)[1] == "calibration.unsigned"
    assert "M2" in _failed(copied.folder)


def _signed_again(given: Made, change: Callable[[dict[str, Any]], None], root: Path) -> None:
    """Change the artefact, and sign everything anew with the key of the workspace at ``root``."""
    artefact = json.loads(given.files.calibration.read_bytes())
    change(artefact)
    with open_workspace(root, lambda: "") as workspace:
        signer = workspace.signer
        facts = signer.facts()
        artefact["laboratory"]["certificate_sha256"] = facts["certificate_sha256"]
        given.files.calibration.write_bytes(canonical_json(artefact))
        predicate = verify_statement(given.files.attestation.read_bytes(), predicate_type=CALIBRATION_PREDICATE)[
            0
        ].predicate
        predicate["examiner"]["identity"] |= facts
        predicate["calibration"]["sha256"] = sha256_bytes(canonical_json(artefact))
        names = ("calibration.json", "recordings.csv", "registration.json")
        subjects = [Subject(name, sha256_bytes((given.folder / name).read_bytes())) for name in names]
        statement = build_statement(CALIBRATION_PREDICATE, subjects, predicate)
        given.files.attestation.write_bytes(sign_statement(statement, signer))
    lines = sorted((path.name, sha256_bytes(path.read_bytes())) for path in given.folder.iterdir())
    listed = "".join(f"{digest}  {name}\n" for name, digest in lines if name != "manifest.sha256")
    given.files.manifest.write_text(listed, "utf-8")


def _laxer(artefact: dict[str, Any]) -> None:
    """As if LOW had held one threshold further, with p-values that agree."""
    (stratum,) = artefact["strata"]
    stratum["threshold"] = 9
    for sequence in stratum["sequences"]:
        strictest = sequence["steps"][0]
        sequence["threshold"], sequence["refused"] = 9, None
        sequence["steps"] = [*sequence["steps"][:6], {**strictest, "threshold": 9}]


def test_an_artefact_that_does_not_follow_from_its_counts_is_found_whoever_signed(copied: Made, capsys: Any) -> None:
    _signed_again(copied, _laxer, copied.root)
    assert _failed(copied.folder) >= {"E2", "E3"}
    assert {"W6", "E2"} <= _failed(copied.root)
    assert _enhance(copied, capsys)[1] == "calibration.unsound"


def test_one_that_somebody_else_signed_is_not_the_ledger_s(copied: Made, tmp_path: Path, capsys: Any) -> None:
    with laboratory.workspace(tmp_path / "stranger"):
        pass
    _signed_again(copied, lambda _: None, tmp_path / "stranger")
    assert "E3" in _failed(copied.folder)
    assert _enhance(copied, capsys)[1] == "calibration.not-completed"


def test_another_workspace_does_not_take_a_stranger_s_word(made: Made, tmp_path: Path, capsys: Any) -> None:
    with laboratory.workspace(tmp_path / "other"):
        pass
    assert _enhance(made, capsys, root=tmp_path / "other")[1] == "calibration.signer"


def test_another_workspace_of_the_laboratory_takes_its_authority_s_word(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, first, second = tmp_path / "ca", tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        laboratory.workspace(root).close()
    csr, pem = tmp_path / "csr", tmp_path / "pem"
    for command in (
        ["ca-init", ca, "--name", "Authority of Signals"],
        ["pin-ca", ca / "certificate.pem", "-w", first],
        ["pin-ca", ca / "certificate.pem", "-w", second],
        ["request", "--out", csr, "-w", first],
        ["issue", csr, "--ca", ca, "--role", "examiner", "--out", pem],
        ["import", pem, "--chain", ca / "certificate.pem", "--crl", ca / "crl.pem", "-w", first],
    ):
        assert run(["identity", *map(str, command)]) == 0, capsys.readouterr().err
    laboratory.made_up(monkeypatch)
    with open_workspace(first, lambda: "") as workspace:
        request = CalibrateRequest(laboratory.manifest(tmp_path / "pairs", 2), "Charts", workers=1)
        folder = calibrate(workspace, request, Silent()).folder
    stages = load_recipe("light").bind().stages
    with open_workspace(second, lambda: "") as workspace:
        assert own_calibration(workspace, folder, stages).calibration.class_ == "Charts"
    assert run(["identity", "crl", "--ca", str(ca), "--revoke", _serial(pem)]) == 0, capsys.readouterr().err
    assert run(["identity", "import", "--crl", str(ca / "crl.pem"), "-w", str(second)]) == 0, capsys.readouterr().err
    with open_workspace(second, lambda: "") as workspace, pytest.raises(VerificationFailed) as refused:
        own_calibration(workspace, folder, stages)
    assert refused.value.code == "calibration.signer"


def _serial(pem: Path) -> str:
    command = ["openssl", "x509", "-in", pem, "-noout", "-serial"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().partition("=")[2]


def test_it_holds_for_its_model_and_scale_and_for_whole_pictures_alone(copied: Made, capsys: Any) -> None:
    for more in (["--scale", "2"], ["--recipe", "single"], ["--recipe", "classic"], ["--roi", "0,0,24,24"]):
        assert _enhance(copied, capsys, *more) == (4, "calibration.other-subject"), more


def test_a_run_of_another_model_does_not_cite_it(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "calibration")
    (tmp_path / "calibration" / "manifest.sha256").unlink()
    artefact = json.loads(made.files.calibration.read_bytes())
    subject, signed = artefact["subject"], sha256_bytes(made.files.attestation.read_bytes())
    cited = {"sha256": sha256_bytes(canonical_json(artefact)), "artefact": artefact, "attestation_sha256": signed}
    right = {"id": subject["model"], "weights_sha256": subject["weights_sha256"]}
    for models, passes in (
        ([right], True), ([{"id": "single-x1", "weights_sha256": "ab" * 32}, right], True), ([], False), (None, False),
        ([right | {"id": "single-x1"}], False), ([right | {"weights_sha256": "ab" * 32}], False),
    ):  # fmt: skip
        verification = Verification("run", "run")
        predicate = {"risk": {"calibration": cited}, "models": models, "workspace": {"id": "another"}}
        check_cited_calibration(verification, RunFolder(tmp_path), predicate, None, NOTHING)
        (found,) = verification.checks
        assert (found.number, found.passed) == ("A8", passes)
        assert passes or "does not name among its models" in found.detail


def test_folders_that_the_ledger_does_not_know_and_folders_that_are_gone_are_found(copied: Made) -> None:
    shutil.copytree(copied.folder, copied.folder.with_name("C-20260101T000000Z-aaaaaa"))
    assert "W7" in _failed(copied.root)
    shutil.rmtree(copied.root / "calibrations")
    assert "W6" in _failed(copied.root)
