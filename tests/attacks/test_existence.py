"""Attacks on the proof that something is older than a revocation, and on revocation itself. Every one must fail."""

# ruff: noqa: F811 - fixtures of another file are parameters here

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from forensic.case.acquire import acquire
from forensic.case.anchors import issue_checkpoint
from forensic.case.bundle import issuing
from forensic.case.bundle.issuing import BundleRequest
from forensic.case.bundle.selecting import scope_for
from forensic.case.enhance import enhance
from forensic.case.enrolment import add_identity, pin_authority, revoke_identity, rotate
from forensic.case.layout import WorkspaceLayout
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.timestamping import fetch_pending, pending
from forensic.case.verification.checks import Verdict
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace, open_workspace, utc_now
from forensic.case.written import Written
from forensic.signing.authority import create_authority, revoke
from forensic.signing.identity import load_identity
from forensic.signing.timestamp import build_request
from forensic.signing.tokenform import canonical_token, response_around, token_of
from tests.attacks.test_identity import (  # noqa: F401
    SHORT,
    Lab,
    _certified,
    _exhibit,
    _failed,
    _passed,
    invention,
    lab,
    prepared,
)
from tests.case.reviewing import approve
from tests.case.test_verification import relist
from tests.madeup_tsa import MadeUpTsa
from tests.tsa import LocalTsa


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTsa]:
    with LocalTsa(tmp_path_factory.mktemp("tsa") / "tsa") as server:
        yield server


@dataclass(frozen=True)
class Theft:
    """A laboratory whose only report was timestamped, and whose authority has then revoked the examiner's key."""

    lab: Lab
    tsa: LocalTsa

    @property
    def trust(self) -> Trust:
        """What a verifier has: the authority with its list, and the timestamp authority."""
        return replace(self.lab.trust, tsa_roots=(self.tsa.root_pem.read_bytes(),))

    def anchor(self) -> None:
        """Issue a checkpoint and have everything timestamped."""
        with self.lab.opened() as workspace:
            issue_checkpoint(workspace)
            assert not any(one.code for one in fetch_pending(workspace, self.tsa.url))

    def disclose(self, out: Path, again: int | None = None) -> int:
        """Sign a bundle about the old run with the examiner's key, or write that of an entry again."""
        with self.lab.opened() as workspace:
            if again is not None:
                return issuing.write_again(workspace, again, BundleRequest(out), Silent()).seq
            return issuing.disclose(workspace, scope_for(workspace, self.lab.run_id), BundleRequest(out), Silent()).seq


@pytest.fixture
def theft(lab: Lab, tsa: LocalTsa) -> Theft:
    with lab.opened() as workspace:
        assert [(one.of, one.code) for one in fetch_pending(workspace, tsa.url)] == [("report", "")]
    serial = load_identity(lab.root / "identity").certificate.serial_number
    revoke(lab.authority(), f"{serial:x}", reason="key-compromise", days=30, now=utc_now() + timedelta(hours=1))
    return Theft(lab, tsa)


# Entries are as old as a timestamped checkpoint over them, not as the run that they name


def test_bundle_signed_with_a_revoked_key_about_an_old_run(theft: Theft, tmp_path: Path) -> None:
    """The thief issues a bundle about a report that was timestamped before the theft was known."""
    assert not _failed(verify(theft.lab.run, trust=theft.trust))
    seq = theft.disclose(tmp_path / "stolen.zip")
    verification = verify(tmp_path / "stolen.zip", trust=theft.trust)
    assert set(_failed(verification)) == {"I4"}
    failed = [check.title for check in verification.checks if not check.passed]
    assert failed == [f"entry {seq}'s signer's certificate was not revoked by that authority when it signed"]
    # The honest case: a checkpoint over that very entry was timestamped before the revocation.
    theft.anchor()
    theft.disclose(tmp_path / "anchored.zip", again=seq)
    assert not _failed(verify(tmp_path / "anchored.zip", trust=theft.trust))


def test_workspace_goes_on_with_a_revoked_key_about_an_old_run(theft: Theft, tmp_path: Path) -> None:
    theft.anchor()
    assert not _failed(verify(theft.lab.root, trust=theft.trust))
    theft.disclose(tmp_path / "stolen.zip")
    assert set(_failed(verify(theft.lab.root, trust=theft.trust))) == {"I4"}
    theft.anchor()
    assert not _failed(verify(theft.lab.root, trust=theft.trust))


# Only a sound report that carries this very record shows how old it is


@pytest.mark.parametrize("planted", ["subject of the record", "report of another run", "anything old"])
def test_run_signed_with_a_revoked_key_borrows_age(theft: Theft, monkeypatch: pytest.MonkeyPatch, planted: str) -> None:
    """A new run is given an old timestamped file, under a name that looks like a replaced report's."""
    old = b"%PDF-1.7 any old file" if planted == "anything old" else (theft.lab.run / "report.pdf").read_bytes()
    if planted == "anything old":
        token = canonical_token(token_of(theft.tsa.stamp(old))[0])[0]
        digest = hashlib.sha256(old).hexdigest()
        WorkspaceLayout(theft.lab.root).document_timestamp(digest).write_bytes(response_around(token))
    honest = Written.check
    time.sleep(1.1)  # so that the run ends later than the authority's clock may be off

    def check(written: Written) -> None:
        written.write(written._folder.root / "report-superseded-x.pdf", old)
        honest(written)

    with theft.lab.opened() as workspace:
        if planted == "subject of the record":
            monkeypatch.setattr(Written, "check", check)
        run = enhance(workspace, _exhibit(workspace), SHORT, Silent())
        monkeypatch.undo()
        key = workspace.signer.key_id
        rotate(workspace, new_passphrase=lambda: None)
    with theft.lab.opened() as workspace:
        revoke_identity(workspace, key, reason="laptop stolen", since=run.predicate["run"]["finished_utc"])
    if planted != "subject of the record":
        (run.folder / "report-superseded-1.pdf").write_bytes(old)
        relist(run.folder)
    failed = {check.number: check.title for check in verify(run.folder, trust=theft.trust).checks if not check.passed}
    assert {"A5", "I2"} <= failed.keys()
    assert failed["I4"] == "the signer's certificate was not revoked by that authority when it signed"


def test_report_beside_its_token_in_a_short_path(theft: Theft) -> None:
    """Given out alone it has two folders above it or none; the token beside it shows its age."""
    report = (theft.lab.run / "report.pdf").read_bytes()
    token = WorkspaceLayout(theft.lab.root).document_timestamp(hashlib.sha256(report).hexdigest()).read_bytes()
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(report)
        file.flush()
        alone = Path(file.name)
        beside = alone.with_name(f"{alone.name}.tsr")
        assert set(_failed(verify(alone, trust=theft.trust))) == {"I4"}
        try:
            beside.write_bytes(token)
            verification = verify(alone, trust=theft.trust)
        finally:
            beside.unlink()
    assert not _failed(verification)
    assert verification.verdict is Verdict.TIMESTAMPED and _passed(verification, "I4")


# No list, no word about revocation


@pytest.mark.parametrize("given", ["no list", "a list that had expired"])
def test_revocation_is_not_denied_without_a_list_in_force(
    tmp_path: Path, real_clip: Path, invention: EnhanceRequest, given: str
) -> None:
    """Who leaves the list out, or gives an old one, must not be told that the key was not revoked."""
    begun = utc_now() - timedelta(days=200)
    authority = create_authority(tmp_path / "ca", name="Lab 7 CA", passphrase=None, now=begun)
    own = (authority.folder / "certificate.pem").read_bytes()
    root = tmp_path / "ws"
    with create_workspace(root, examiner="Ada", lab="Lab 7", passphrase=None, origin="test") as workspace:
        pin_authority(workspace, own)
        add_identity(workspace, name="Bea", lab=None, role="reviewer", passphrase=None)
        _certified(workspace, authority, None, "examiner")
    with open_workspace(root, lambda: "", identity="Bea") as reviewing:
        _certified(reviewing, authority, "Bea", "reviewer")
    with open_workspace(root, lambda: "") as workspace:
        exhibit = acquire(workspace, real_clip, case="C1", exhibit_id="E1", note=None, progress=Silent())
        approve(workspace, exhibit, invention, "Bea")
        run = enhance(workspace, exhibit, invention, Silent()).folder
    expired = (authority.folder / "crl.pem").read_bytes()
    told = "no list of its authority" if given == "no list" else f"was revoked after {begun:%Y-%m-%d}"
    trust = Trust(authorities=(own,) if given == "no list" else (own, expired))
    for target in (root, run, run / "report.pdf"):
        verification = verify(target, trust=trust)
        assert not _failed(verification) and _passed(verification, "I3")
        assert not any(check.number == "I4" for check in verification.checks)
        assert any(told in note and "newer list" in note for note in verification.not_checked)
    assert any("the approver's certificate was revoked" in note for note in verify(run, trust=trust).not_checked)
    # A list names its second only, and one of the second of the signing may be older than it.
    newer = revoke(authority, None, days=30, now=utc_now() + timedelta(seconds=1))
    assert newer.next_update_utc is not None
    fresh = Trust(authorities=(own, (authority.folder / "crl.pem").read_bytes()))
    verification = verify(run, trust=fresh)
    assert _passed(verification, "I4") and not any("was revoked" in note for note in verification.not_checked)


# A planted token is none


@pytest.mark.parametrize("reachable", [True, False])
def test_token_of_a_made_up_authority_is_planted_in_the_place_of_a_genuine_one(
    lab: Lab, tsa: LocalTsa, reachable: bool
) -> None:
    """It holds by itself. Taken in it would be the timestamp for ever, and no genuine one be asked for."""
    layout, own = WorkspaceLayout(lab.root), MadeUpTsa()
    shutil.copy(tsa.root_pem, lab.root / "tsa-root.pem")
    (lab.root / "settings.toml").write_text(f'[timestamp]\nurl = "{tsa.url}"\nroots = ["tsa-root.pem"]\n')
    planted, said = {}, list[str]()
    with lab.opened() as workspace:
        issue_checkpoint(workspace)
        for item in pending(workspace):
            answer = own.answer(build_request(bytes.fromhex(item.sha256)).der)
            planted[item.sha256] = response_around(canonical_token(token_of(answer)[0])[0])
            item.token.parent.mkdir(exist_ok=True)
            item.token.write_bytes(planted[item.sha256])
        got = fetch_pending(workspace, None if reachable else "http://127.0.0.1:1/", said.append)
        if not reachable:
            assert [one.code for one in got] == ["timestamp.unreachable"]
            assert len(list(pending(workspace))) == 2
            got = fetch_pending(workspace, None, said.append)
        assert [(one.of, one.code, one.tsa) for one in got] == [
            ("checkpoint", "", "CN=Test TSA,O=Test"), ("report", "", "CN=Test TSA,O=Test"),
        ]  # fmt: skip
        assert not list(pending(workspace))
        failures = [entry.data for entry in workspace.ledger.entries(event="timestamp.failed")]
        received = [entry.data["tsa"] for entry in workspace.ledger.entries(event="timestamp.received")]
    assert received == ["CN=Test TSA,O=Test"] * 2
    refused = [data for data in failures if "kept_as" in data]
    assert [data["code"] for data in refused] == ["timestamp.untrusted"] * 2
    for data in refused:  # nothing was destroyed
        kept = layout.refused_timestamp(data["sha256"], 1)
        assert (kept.name, kept.read_bytes()) == (data["kept_as"], planted[data["sha256"]])
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == data["token_sha256"]
    assert sum("Refused as a timestamp" in line for line in said) == 2
    verification = verify(lab.root, trust=Trust(tsa_roots=(tsa.root_pem.read_bytes(),)))
    assert not _failed(verification) and verification.verdict is Verdict.TIMESTAMPED
    assert sum("kept aside as refused" in note for note in verification.not_checked) == 2
