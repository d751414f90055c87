"""Attacks on identities and approvals, named as in docs/threat-model.md."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from forensic.case.acquire import acquire
from forensic.case.enhance import FinishedRun, enhance
from forensic.case.enrolment import (
    add_identity,
    import_certificate,
    import_revocation_list,
    pin_authority,
    revoke_identity,
    rotate,
)
from forensic.case.exhibits import Exhibit, find_exhibit
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.timestamping import fetch_pending
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace, open_workspace, utc_now, utc_text
from forensic.errors import ForensicError, PolicyRefused, UsageError
from forensic.hashes import sha256_file
from forensic.ledger.audit import audit
from forensic.policy.acknowledgement import SENTENCE
from forensic.signing.authority import Authority, certificate_request, create_authority, issue, revoke
from forensic.signing.certificate import certificate_pem
from forensic.signing.identity import create_identity, load_identity
from forensic.signing.statement import RUN_PREDICATE, build_statement, sign_statement, verify_statement
from forensic.stages.catalogue import registered
from tests.case.reviewing import NOTE, approve
from tests.case.test_generative_gate import _RECIPE, Invention
from tests.tsa import LocalTsa

SHORT = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2))


@dataclass(frozen=True)
class Lab:
    """A workspace of Ada's with one run, under an authority that certified her and the reviewer Bea."""

    root: Path
    ca: Path
    run_id: str

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.root / "runs" / self.run_id

    def opened(self, identity: str | None = None) -> Workspace:
        """Open for work."""
        return open_workspace(self.root, lambda: "", identity=identity)

    def authority(self) -> Authority:
        """The laboratory's authority, open for issuing."""
        return Authority(self.ca, load_identity(self.ca))

    @property
    def trust(self) -> Trust:
        """What a verifier has from the laboratory: its authority's certificate and newest list."""
        return Trust(authorities=tuple((self.ca / name).read_bytes() for name in ("certificate.pem", "crl.pem")))


def _certified(workspace: Workspace, authority: Authority, name: str | None, role: str) -> None:
    chain = (authority.folder / "certificate.pem").read_bytes()
    pem = certificate_request(workspace.signer).encode()
    issued = issue(authority, pem, role=role, days=365, now=utc_now())
    import_certificate(workspace, name, certificate_pem(issued).encode(), chain)


def _exhibit(workspace: Workspace) -> Exhibit:
    found = find_exhibit(workspace, "E1")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, real_clip: Path) -> Lab:
    folder = tmp_path_factory.mktemp("identity-attacks")
    root, authority = folder / "ws", create_authority(folder / "ca", name="Lab 7 CA", passphrase=None, now=utc_now())
    with create_workspace(root, examiner="Ada", lab="Lab 7", passphrase=None, origin="test") as workspace:
        pin_authority(workspace, (authority.folder / "certificate.pem").read_bytes())
        add_identity(workspace, name="Bea", lab=None, role="reviewer", passphrase=None)
        _certified(workspace, authority, None, "examiner")
        import_revocation_list(workspace, None, (authority.folder / "crl.pem").read_bytes())
    with open_workspace(root, lambda: "", identity="Bea") as reviewing:
        _certified(reviewing, authority, "Bea", "reviewer")
    with open_workspace(root, lambda: "") as workspace:
        exhibit = acquire(workspace, real_clip, case="C1", exhibit_id="E1", note=None, progress=Silent())
        run = enhance(workspace, exhibit, SHORT, Silent())
    return Lab(root, authority.folder, run.run_id)


@pytest.fixture
def lab(prepared: Lab, tmp_path: Path) -> Lab:
    """A copy to attack."""
    for name in ("ws", "ca"):
        shutil.copytree(prepared.root.parent / name, tmp_path / name)
    return Lab(tmp_path / "ws", tmp_path / "ca", prepared.run_id)


@pytest.fixture
def invention(tmp_path: Path) -> Iterator[EnhanceRequest]:
    """A request in creative mode that needs a reviewer's approval."""
    recipe = tmp_path / "inventive.toml"
    recipe.write_text(_RECIPE)
    with registered(Invention):
        yield EnhanceRequest(
            recipe=str(recipe), mode="creative", frames=(0, 2), purpose="illustration",
            reason="Poster for the training room, not evidence", acknowledgement=SENTENCE,
        )  # fmt: skip


def _failed(verification: Verification) -> dict[str, str]:
    failed = {check.number: check.detail for check in verification.checks if not check.passed}
    assert (verification.verdict is Verdict.FAILED) == bool(failed)
    return failed


def _passed(verification: Verification, number: str) -> bool:
    found = [check.passed for check in verification.checks if check.number == number]
    return bool(found) and all(found)


def _refusal(workspace: Workspace, request: EnhanceRequest) -> PolicyRefused:
    before = sorted(workspace.layout.runs.iterdir())
    with pytest.raises(PolicyRefused) as refused:
        enhance(workspace, _exhibit(workspace), request, Silent())
    assert sorted(workspace.layout.runs.iterdir()) == before
    assert [entry.event for entry in workspace.ledger.entries()][-2:] == ["policy.decided", "run.refused"]
    return refused.value


def _command(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "forensic", *map(str, arguments)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}, check=False,
    )  # fmt: skip


# The honest case, against which the attacks are held


def test_the_laboratory_as_it_should_be_verifies_under_its_authority(lab: Lab) -> None:
    for target in (lab.root, lab.run):
        verification = verify(target, trust=lab.trust)
        assert not _failed(verification)
        assert verification.verdict is Verdict.SIGNED
        assert all(_passed(verification, number) for number in ("I1", "I2", "I3", "I4"))
    alone = verify(lab.run / "report.pdf", trust=lab.trust)
    assert not _failed(alone)
    assert _passed(alone, "I3") and _passed(alone, "I4")
    without = verify(lab.run)
    assert not _failed(without)
    assert any("--ca" in line for line in without.not_checked)


def test_an_approved_creative_run_verifies_under_the_authority(lab: Lab, invention: EnhanceRequest) -> None:
    with lab.opened() as workspace:
        approve(workspace, _exhibit(workspace), invention, "Bea")
        run = enhance(workspace, _exhibit(workspace), invention, Silent())
    assert run.predicate["run"]["approval"]["certified"] is True
    verification = verify(lab.root, trust=lab.trust)
    assert not _failed(verification)
    assert _passed(verification, "I5") and _passed(verification, "I6")


# Whoever has the files


def test_stolen_laptop_without_the_passphrase_cannot_sign(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    create_workspace(root, examiner="Ada", lab="Lab 7", passphrase="correct horse", origin="test").close()
    before = sha256_file(root / "ledger.sqlite")
    assert b"ENCRYPTED" in (root / "identity" / "key.pem").read_bytes()

    def attempt(guess: str) -> str:
        with pytest.raises(ForensicError) as refused:
            open_workspace(root, lambda: guess)
        return refused.value.code

    assert {attempt(guess) for guess in ("", "password", "Correct horse", "x" * 1000)} == {"identity.passphrase"}
    # a key of his own in the place of ours, under the same name: the ledger never introduced it
    shutil.rmtree(root / "identity")
    create_identity(root / "identity", examiner="Ada", lab="Lab 7", passphrase=None, now=utc_now())
    assert attempt("") == "ledger.unknown-identity"
    done = _command("acquire", real_clip, "--case", "C", "--exhibit", "E", "-w", root)
    assert (done.returncode, "ledger.unknown-identity" in done.stderr) == (2, True)
    assert sha256_file(root / "ledger.sqlite") == before


@pytest.mark.parametrize("variable", ["FORENSIC_PASSPHRASE", "FORENSIC_PASSWORD", "PASSPHRASE", "FORENSIC_PIN"])
def test_passphrase_on_the_command_line_is_not_accepted(tmp_path: Path, variable: str) -> None:
    root = tmp_path / "ws"
    create_workspace(root, examiner="Ada", lab="Lab 7", passphrase="secret", origin="test").close()
    ask = ["identity", "request", "-w", root]
    for arguments in (["--passphrase", "secret", *ask], [*ask, "--passphrase", "secret"], [*ask, "--password=secret"]):
        done = _command(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
    by_environment = _command(*ask, env={variable: "secret"})
    assert (by_environment.returncode, by_environment.stdout) == (2, "")
    assert "identity.passphrase-needed" in by_environment.stderr


# Two persons


@pytest.mark.parametrize("how", ["with his own key", "with a second key in his name", "with no approval at all"])
def test_examiner_approves_himself(lab: Lab, invention: EnhanceRequest, how: str) -> None:
    from forensic.case.approvals import give, terms_of
    from forensic.case.plan import settle
    from forensic.policy.store import load_policy

    with lab.opened() as workspace:
        if how == "with a second key in his name":
            add_identity(workspace, name="ada", lab=None, role="reviewer", passphrase=None)
            approve(workspace, _exhibit(workspace), invention, "ada")
        elif how == "with his own key":
            plan = settle("R", _exhibit(workspace), invention, 1)
            policy = load_policy("creative")
            terms = terms_of(plan.exhibit, plan.recipe, plan.mode, invention.purpose, policy, plan.frames)
            give(workspace, terms, NOTE)
        refused = _refusal(workspace, invention)
        assert "forensic approve" in refused.remedy
        if how == "with a second key in his name":
            assert "generative-needs-second-person" in refused.message
        assert "approval.used" not in [entry.event for entry in workspace.ledger.entries()]


def test_examiner_makes_up_a_reviewer(lab: Lab, invention: EnhanceRequest) -> None:
    """A key that he made himself, in a name that he chose: the laboratory's authority does not vouch for it."""
    with lab.opened() as workspace:
        approve(workspace, _exhibit(workspace), invention, "Dr. Nobody")
        assert "generative-needs-certified-reviewer" in _refusal(workspace, invention).message
        # a certificate of an authority of the same name does not help either
        impostor = create_authority(lab.root.parent / "impostor", name="Lab 7 CA", passphrase=None, now=utc_now())
        with lab.opened("Dr. Nobody") as nobody:
            _certified(nobody, impostor, "Dr. Nobody", "reviewer")
        approve(workspace, _exhibit(workspace), invention, "Dr. Nobody")
        assert "generative-needs-certified-reviewer" in _refusal(workspace, invention).message


def test_examiner_makes_up_a_reviewer_where_no_authority_is_pinned(
    tmp_path: Path, lab: Lab, real_clip: Path, invention: EnhanceRequest
) -> None:
    """Then the run is possible, says that nobody vouches, and fails for whoever knows the authority."""
    with create_workspace(tmp_path / "alone", examiner="Ada", lab="Lab 7", passphrase=None, origin="test") as workspace:
        exhibit = acquire(workspace, real_clip, case="C1", exhibit_id="E1", note=None, progress=Silent())
        approve(workspace, exhibit, invention, "Dr. Nobody")
        run = enhance(workspace, exhibit, invention, Silent())
    assert run.predicate["run"]["approval"]["certified"] is False
    plain = verify(tmp_path / "alone" / "runs" / run.run_id)
    assert any("approver Dr. Nobody" in line for line in plain.not_checked)
    assert {"I3", "I6"} <= _failed(verify(run.folder, trust=lab.trust)).keys()


def test_examiner_pins_an_authority_of_his_own(lab: Lab, invention: EnhanceRequest) -> None:
    """It is on the record, and whoever verifies names the authority that he trusts himself."""
    own = create_authority(lab.root.parent / "own", name="Lab 7 CA", passphrase=None, now=utc_now())
    with lab.opened() as workspace:
        pin_authority(workspace, (own.folder / "certificate.pem").read_bytes())
        add_identity(workspace, name="Dr. Nobody", lab=None, role="reviewer", passphrase=None)
        with lab.opened("Dr. Nobody") as nobody:
            _certified(nobody, own, "Dr. Nobody", "reviewer")
        approve(workspace, _exhibit(workspace), invention, "Dr. Nobody")
        run = enhance(workspace, _exhibit(workspace), invention, Silent())
    assert set(_failed(verify(run.folder, trust=lab.trust))) == {"I6"}
    assert len([entry for entry in _entries(lab.root) if entry == "authority.pinned"]) == 2


def _entries(root: Path) -> list[str]:
    with open_workspace(root, None) as workspace:
        return [entry.event for entry in workspace.ledger.entries()]


def test_reviewer_certified_for_another_role_does_not_count(lab: Lab, invention: EnhanceRequest) -> None:
    """The examiner introduces a colleague's key, certified as an examiner's, as that of a reviewer."""
    authority = lab.authority()
    colleague = create_identity(lab.root.parent / "cy", examiner="Cy", lab="Lab 7", passphrase=None, now=utc_now())
    request = certificate_request(colleague).encode()
    certificate = issue(authority, request, role="examiner", days=30, now=utc_now())
    shutil.copytree(lab.root.parent / "cy", lab.root / "identities" / "Cy")
    (lab.root / "identities" / "Cy" / "certificate.pem").write_text(certificate_pem(certificate))
    with lab.opened() as workspace:
        chain = [certificate_pem(authority.certificate)]
        workspace.ledger.introduce(certificate_pem(certificate), role="reviewer", name="Cy", chain=chain)
        approve(workspace, _exhibit(workspace), invention, "Cy")
        assert "generative-needs-certified-reviewer" in _refusal(workspace, invention).message


def test_approval_is_used_twice(lab: Lab, invention: EnhanceRequest) -> None:
    with lab.opened() as workspace:
        approve(workspace, _exhibit(workspace), invention, "Bea")
        first = enhance(workspace, _exhibit(workspace), invention, Silent())
        assert "generative-needs-approval" in _refusal(workspace, invention).message
        _check_second_use_is_found(lab, workspace, first, invention)


def _check_second_use_is_found(lab: Lab, workspace: Workspace, first: FinishedRun, request: EnhanceRequest) -> None:
    """An insider who gets round the gate (here: the program is told that nothing was used) is found by verify."""
    from forensic.case import plan as planning

    patched = pytest.MonkeyPatch()
    given = first.predicate["run"]["approval"]
    from forensic.policy.request import Approval

    patched.setattr(planning, "usable", lambda *_: iter([Approval(**given)]))
    patched.setattr(planning, "use", lambda *_: True)
    try:
        second = enhance(workspace, _exhibit(workspace), request, Silent())
    finally:
        patched.undo()
    assert set(_failed(verify(second.folder))) == {"I5"}
    assert not _failed(verify(first.folder))


def test_approval_for_another_recipe(lab: Lab, invention: EnhanceRequest, tmp_path: Path) -> None:
    with lab.opened() as workspace:
        harmless = tmp_path / "harmless.toml"
        harmless.write_text(_RECIPE.replace("A harmless stage after it.", "The same stages under another digest."))
        other = EnhanceRequest(**{**vars(invention), "recipe": str(harmless)})
        approve(workspace, _exhibit(workspace), other, "Bea")
        assert "generative-needs-approval" in _refusal(workspace, invention).message
        larger = EnhanceRequest(**{**vars(invention), "roi": (0, 0, 64, 64)})
        approve(workspace, _exhibit(workspace), larger, "Bea")
        assert "generative-needs-approval" in _refusal(workspace, invention).message


def test_approval_is_put_into_the_record_by_hand(lab: Lab, invention: EnhanceRequest) -> None:
    """The record names an approval that the ledger does not hold, or holds about something else."""
    from forensic.case import plan as planning
    from forensic.policy.request import Approval

    with lab.opened() as workspace:
        entry = approve(workspace, _exhibit(workspace), SHORT, "Bea")
        reviewer = entry.actor["key_id"]
        for seq, digest in ((entry.seq, entry.hash), (entry.seq, "0" * 64), (999, "0" * 64)):
            forged = Approval("Bea", "reviewer", NOTE, reviewer, True, "", seq, digest)
            patched = pytest.MonkeyPatch()
            patched.setattr(planning, "usable", lambda *_, one=forged: iter([one]))
            patched.setattr(planning, "use", lambda *_: True)
            try:
                run = enhance(workspace, _exhibit(workspace), invention, Silent())
            finally:
                patched.undo()
            assert "I5" in _failed(verify(run.folder))


# Keys that are no longer to be trusted


def _signed_again(lab: Lab, key: Path) -> None:
    """The thief signs a changed record of the run with the stolen key, over the same files."""
    path = lab.run / "attestation.json"
    old, _ = verify_statement(path.read_bytes(), predicate_type=RUN_PREDICATE)
    predicate = {**old.predicate, "run": {**old.predicate["run"], "question": "What the thief wants asked"}}
    path.write_bytes(sign_statement(build_statement(RUN_PREDICATE, old.subjects, predicate), load_identity(key)))


def test_revoked_key_signs_a_report(lab: Lab) -> None:
    stolen = lab.root.parent / "stolen"
    shutil.copytree(lab.root / "identity", stolen)
    with lab.opened() as workspace:
        old = workspace.signer.key_id
        rotate(workspace, new_passphrase=lambda: None)
    with lab.opened() as workspace:
        revoke_identity(workspace, old, reason="laptop stolen", since=None)
    assert not _failed(verify(lab.root))  # what it signed before stands, by the ledger's order
    # the thief has a copy of everything, and his key
    shutil.rmtree(lab.root / "identity")
    shutil.copytree(stolen, lab.root / "identity")
    with pytest.raises(UsageError, match=r"ledger\.closed-identity"):
        lab.opened()
    _signed_again(lab, stolen)
    assert {"C2", "M5"} <= _failed(verify(lab.root)).keys()
    assert audit(lab.root / "ledger.sqlite").ok


def test_key_revoked_as_of_a_time_before_the_report(lab: Lab) -> None:
    """The theft was noticed late: what the key signed after it is void, though the ledger did not know it then."""
    with lab.opened() as workspace:
        old = workspace.signer.key_id
        rotate(workspace, new_passphrase=lambda: None)
    with lab.opened() as workspace:
        revoke_identity(workspace, old, reason="laptop stolen", since="2026-01-01T00:00:00Z")
    failed = _failed(verify(lab.root))
    assert set(failed) == {"I2"}
    assert "laptop stolen" in failed["I2"]


def test_certificate_revoked_by_the_authority_signs_a_report(lab: Lab) -> None:
    serial = load_identity(lab.root / "identity").certificate.serial_number
    revoke(lab.authority(), f"{serial:x}", reason="key-compromise", days=30, now=utc_now() + timedelta(hours=1))
    for target in (lab.root, lab.run, lab.run / "report.pdf"):
        assert set(_failed(verify(target, trust=lab.trust))) == {"I4"}
    assert not _failed(verify(lab.run))  # who trusts no authority is not told by one


def test_report_signed_before_revocation_and_timestamped_stands(lab: Lab, prepared: Lab, tmp_path: Path) -> None:
    with LocalTsa(tmp_path / "tsa") as tsa:
        with lab.opened() as workspace:
            fetched = fetch_pending(workspace, tsa.url)
            assert [one.code for one in fetched if one.of == "report"] == [""]
        root = tsa.root_pem.read_bytes()
    serial = load_identity(lab.root / "identity").certificate.serial_number
    revoke(lab.authority(), f"{serial:x}", reason="key-compromise", days=30, now=utc_now() + timedelta(hours=1))
    with lab.opened() as workspace:
        old = workspace.signer.key_id
        rotate(workspace, new_passphrase=lambda: None)
    with lab.opened() as workspace:
        revoke_identity(workspace, old, reason="laptop stolen", since=utc_text(utc_now()))
    timed = Trust(authorities=lab.trust.authorities, tsa_roots=(root,))
    verification = verify(lab.run, trust=timed)
    assert not _failed(verification)
    assert _passed(verification, "I2") and _passed(verification, "I4")
    assert set(_failed(verify(lab.run, trust=lab.trust))) == {"I4"}  # nobody trusted has seen it before
    # and a timestamp that came after the revocation helps nobody
    shutil.rmtree(lab.ca)
    shutil.copytree(prepared.ca, lab.ca)
    revoke(lab.authority(), f"{serial:x}", reason="key-compromise", days=30, now=utc_now() - timedelta(days=1))
    assert set(_failed(verify(lab.run, trust=Trust(authorities=lab.trust.authorities, tsa_roots=(root,))))) == {"I4"}


def test_certificate_of_a_foreign_authority(lab: Lab) -> None:
    impostor = create_authority(lab.root.parent / "impostor", name="Lab 7 CA", passphrase=None, now=utc_now())
    theirs = Trust(authorities=((impostor.folder / "certificate.pem").read_bytes(),))
    for target in (lab.root, lab.run, lab.run / "report.pdf"):
        failed = _failed(verify(target, trust=theirs))
        assert set(failed) == {"I3"}
        assert "not among the trusted" in failed["I3"]


def test_stranger_introduces_the_expected_certificate_in_a_ledger_of_his_own(lab: Lab, tmp_path: Path) -> None:
    """The certificate is public; that a ledger names it does not mean that its holder signed there."""
    with lab.opened() as workspace:
        expected, pem = workspace.signer.facts()["certificate_sha256"], workspace.signer.certificate_pem
    assert not _failed(verify(lab.root, trust=Trust(fingerprint=expected)))
    with create_workspace(tmp_path / "his", examiner="Ada", lab="Lab 7", passphrase=None, origin="test") as workspace:
        workspace.ledger.introduce(pem, role="examiner", name="Ada")
    assert set(_failed(verify(tmp_path / "his", trust=Trust(fingerprint=expected)))) == {"K1"}


def test_material_cannot_bring_its_own_trust(lab: Lab) -> None:
    """The record brings chain, list and authority along; without the verifier's word that raises nothing."""
    verification = verify(lab.run)
    assert not any(check.number in ("I3", "I4", "I6") for check in verification.checks)
