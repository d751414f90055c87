"""Attacks that a hostile review of the verifier found: trust not used, second persons, replaced keys, odd data."""

# ruff: noqa: F811 - fixtures of another file are parameters here

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forensic.case.anchors import issue_checkpoint
from forensic.case.approvals import WITHDRAWN, require_standing
from forensic.case.custodyorder import ACKNOWLEDGED, CustodyOrder
from forensic.case.enhance import enhance
from forensic.case.enrolment import add_identity, revoke_identity
from forensic.case.logkeys import signer_for
from forensic.case.lognames import LOG
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verification import loghistory
from forensic.case.verification.bundle_links import ISSUED, Links
from forensic.case.verification.checks import Verification
from forensic.case.verification.handling import Handling, check_handling
from forensic.case.verification.signers import Signing
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace, utc_now
from forensic.errors import PolicyRefused
from forensic.signing.authority import create_authority
from forensic.signing.checkpoint import Checkpoint, sign_checkpoint
from tests.attacks.test_identity import SHORT, Lab, _exhibit, _failed, _passed, invention, lab, prepared  # noqa: F401
from tests.case.bundling import Disclosure, disclose, prepare
from tests.case.conftest import Case
from tests.case.reviewing import approve
from tests.laboratories import Laboratory


@pytest.fixture
def foreign(tmp_path: Path) -> Trust:
    """An authority that has nothing to do with the material."""
    made = create_authority(tmp_path / "foreign", name="Lab 7 CA", passphrase=None, now=utc_now())
    return Trust(authorities=((made.folder / "certificate.pem").read_bytes(),))


@pytest.fixture(scope="module")
def self_issued(tmp_path_factory: pytest.TempPathFactory, real_clip: Path, footage: Path) -> Disclosure:
    folder = tmp_path_factory.mktemp("review")
    case = prepare(folder / "ws", real_clip, footage / "carphone_distorted.mp4")
    return disclose(case, case.run_id, folder)


# Authorities that were named and not asked


def test_authority_is_asked_about_bundle_record_proof_and_still(self_issued: Disclosure, foreign: Trust) -> None:
    run = self_issued.case.run
    still = next(run.glob("stills/*.png"))
    targets = (
        self_issued.archive, self_issued.folder, self_issued.case.root, run, run / "attestation.json", still,
        still.with_name(still.name + ".json"),
    )  # fmt: skip
    for target in targets:
        assert not _failed(verify(target)), target
        assert set(_failed(verify(target, trust=foreign))) == {"I3"}, target


def test_authority_is_asked_about_a_workspace_without_runs(tmp_path: Path, foreign: Trust) -> None:
    create_workspace(tmp_path / "ws", examiner="Ada", lab="Lab", passphrase=None, origin="test").close()
    assert set(_failed(verify(tmp_path / "ws", trust=foreign))) == {"I3"}


def test_authority_that_nothing_was_held_against(self_issued: Disclosure, foreign: Trust, tmp_path: Path) -> None:
    still = shutil.copy(next(self_issued.case.run.glob("stills/*.png")), tmp_path / "alone.png")
    checkpoint = next((self_issued.case.root / "anchors").glob("*/checkpoint"))
    for target in (Path(still), checkpoint):
        assert not _failed(verify(target))
        assert set(_failed(verify(target, trust=foreign))) == {"K2"}


def test_record_and_still_under_the_right_authority(lab: Lab) -> None:
    with lab.opened() as workspace:
        run = enhance(workspace, _exhibit(workspace), replace(SHORT, stills=(1,)), Silent())
    still = next(run.folder.glob("stills/*.png"))
    for target in (run.folder / "attestation.json", still, still.with_name(still.name + ".json")):
        verification = verify(target, trust=lab.trust)
        assert not _failed(verification)
        assert _passed(verification, "I3")


# Second persons who are none


def _slipped_in(monkeypatch: pytest.MonkeyPatch, lab: Lab, request: EnhanceRequest, name: str, **lies: Any) -> Path:
    """A changed program gives the policy an approval by ``name`` with ``lies`` in it, and runs."""
    from forensic.case import plan as planning

    honest = planning.usable
    with lab.opened() as workspace:
        approve(workspace, _exhibit(workspace), request, name)
        with monkeypatch.context() as changed:
            changed.setattr(planning, "usable", lambda *all_: (replace(one, **lies) for one in honest(*all_)))
            return enhance(workspace, _exhibit(workspace), request, Silent()).folder


def test_approval_by_the_examiner_under_a_second_key(
    lab: Lab,
    invention: EnhanceRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with lab.opened() as workspace:
        add_identity(workspace, name="A. d.a", lab=None, role="reviewer", passphrase=None)
    lies = {"by": "Somebody Else", "certified": True, "certified_detail": ""}
    failed = _failed(verify(_slipped_in(monkeypatch, lab, invention, "A. d.a", **lies)))
    assert set(failed) == {"I5"}
    assert "has the examiner's name" in failed["I5"]


def test_approval_in_a_role_that_the_ledger_does_not_give(
    lab: Lab,
    invention: EnhanceRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with lab.opened() as workspace:
        add_identity(workspace, name="Cy", lab=None, role="examiner", passphrase=None)
    lies = {"role": "reviewer", "certified": True, "certified_detail": ""}
    failed = _failed(verify(_slipped_in(monkeypatch, lab, invention, "Cy", **lies)))
    assert set(failed) == {"I5"}
    assert "role 'reviewer'" in failed["I5"]


@pytest.mark.parametrize("since", [None, "2026-01-01T00:00:00Z"])
def test_approval_by_a_key_revoked_since(lab: Lab, invention: EnhanceRequest, since: str | None) -> None:
    with lab.opened() as workspace:
        entry = approve(workspace, _exhibit(workspace), invention, "Bea")
        run = enhance(workspace, _exhibit(workspace), invention, Silent())
        decision = {"context": {"approval": run.predicate["run"]["approval"]}}
        begun = next(workspace.ledger.entries(event="run.started", run=run.run_id))
        require_standing(workspace, decision, begun)
        revoke_identity(workspace, entry.actor["key_id"], reason="token lost", since=since)
        with pytest.raises(PolicyRefused, match=r"approval\.void"):  # what a resumed run asks
            require_standing(workspace, decision, begun)
    assert set(_failed(verify(run.folder))) == (set() if since is None else {"I5"})


def test_approval_withdrawn_before_the_run_goes_on(lab: Lab, invention: EnhanceRequest) -> None:
    with lab.opened() as workspace:
        entry = approve(workspace, _exhibit(workspace), invention, "Bea")
        run = enhance(workspace, _exhibit(workspace), invention, Silent())
        begun = next(workspace.ledger.entries(event="run.started", run=run.run_id))
        workspace.ledger.append(WITHDRAWN, {"approval": {"seq": entry.seq, "hash": entry.hash}, "reason": "no"})
        with pytest.raises(PolicyRefused, match="withdrawn"):
            require_standing(workspace, {"context": {"approval": run.predicate["run"]["approval"]}}, begun)


def test_approval_given_while_the_run_was_under_way(
    lab: Lab,
    invention: EnhanceRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ledger's order is what counts: here the run's beginning is read as if it came before the approval."""
    with lab.opened() as workspace:
        approve(workspace, _exhibit(workspace), invention, "Bea")
        run = enhance(workspace, _exhibit(workspace), invention, Silent())
    assert not _failed(verify(run.folder))
    honest = Signing.admit

    def admit(signing: Signing, entry: Any) -> None:
        honest(signing, entry)
        signing.started = {key: replace(one, seq=2) for key, one in signing.started.items()}

    monkeypatch.setattr(Signing, "admit", admit)
    assert "not given before the run began" in _failed(verify(run.folder))["I5"]


# Replaced log keys


def test_replaced_log_key_signs_another_checkpoint(tmp_path: Path) -> None:
    lab = Laboratory.found(tmp_path / "lab").work("one")
    old = lab.log_key()
    with lab.open() as workspace:
        stolen = signer_for(workspace, LOG)
        issue_checkpoint(workspace, new_key=True)
    newest = lab.checkpoint()
    assert lab.failed(log_keys=(lab.log_key(),)) == set()
    path = next((lab.root / "anchors").glob(f"*{newest.size}/checkpoint"))
    origin = path.read_text().splitlines()[0]
    path.write_bytes(sign_checkpoint(Checkpoint(origin, newest.size, newest.root), stolen).to_bytes())
    assert lab.failed() >= {"N2"}
    keys = [(2, "first"), (7, "second")]
    assert [loghistory.keys_in_force(keys, size) for size in (1, 6, 7)] == [[], ["first"], ["second"]]  # type: ignore[arg-type, comparison-overlap]
    assert old != lab.log_key()


# Data of another form than expected


@pytest.mark.parametrize("odd", [["x"], {"a": 1}, None, 7])
def test_acknowledgement_names_something_odd(self_issued: Disclosure, tmp_path: Path, odd: object) -> None:
    case = Case(tmp_path / "ws", self_issued.case.run)
    shutil.copytree(self_issued.case.root, case.root)
    with Laboratory(case.root).open() as workspace:
        entry = next(workspace.ledger.entries(event="exhibit.acquired"))
        order = CustodyOrder()
        order.admit(entry)
        said = {"transfer": odd, "role": "sender", "accepted": True}
        assert order.fault(ACKNOWLEDGED, entry.case, entry.exhibit, None, said) == f"{ACKNOWLEDGED} names no transfer"
        handling = Handling()
        for one in (entry, replace(entry, seq=99, event=ACKNOWLEDGED, data=said)):
            handling.admit(one)
        found = Verification("x", "workspace")
        check_handling(found, handling)
        assert {check.number for check in found.checks if not check.passed} == {"H1", "H2"}
        issued = replace(entry, event=ISSUED, data={"related_entries": [odd], "key_entries": []})
        assert any("beyond this" in fault for fault in Links().faults(issued))
        assert Signing().approval({"seq": odd}) is None
        workspace.ledger.append(ACKNOWLEDGED, said, case=entry.case, exhibit=entry.exhibit)
    assert set(_failed(verify(case.root))) == {"H1", "H2"}


def test_whatever_stops_the_verifier_is_a_failed_check(
    self_issued: Disclosure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise TypeError("unhashable type: 'list'")

    monkeypatch.setattr("forensic.case.verification.workspaces.check_handling", stumble)
    failed = _failed(verify(self_issued.case.root))
    assert set(failed) == {"X1"}
    assert "TypeError" in failed["X1"]


# Receipts


def test_paper_in_the_place_of_a_signed_refusal(self_issued: Disclosure) -> None:
    with Laboratory(self_issued.case.root).open() as workspace:
        acquired = next(workspace.ledger.entries(event="exhibit.acquired"))
    refusal = {"transfer": "t", "role": "sender", "accepted": False, "refused": "other bytes", "on_paper": None}
    paper = {"transfer": "t", "role": "sender", "accepted": None, "on_paper": "signed sheet"}
    signed = replace(acquired, seq=90, event=ACKNOWLEDGED, data=refusal)
    order = CustodyOrder()
    for entry in (acquired, signed, replace(signed, seq=91, data=paper)):
        order.admit(entry)
    assert order.of(acquired.exhibit or "").acknowledged["t"].seq == 90
    handling, found = Handling(handed=[signed]), Verification("x", "workspace")
    check_handling(found, handling)
    assert any("REFUSED" in line and "other bytes" in line for line in found.not_checked)
