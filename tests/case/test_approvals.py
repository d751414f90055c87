"""Two-person approval: given before, bound, signed by another's key, used once, withdrawn if need be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forensic.case import approvals
from forensic.case.acquire import acquire
from forensic.case.enhance import enhance
from forensic.case.exhibits import Exhibit
from forensic.case.plan import EnhanceRequest, judge, settle
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.cli.main import run
from forensic.errors import ForensicError, PolicyRefused, UsageError
from forensic.ledger.audit import audit
from tests.case.conftest import Done
from tests.case.reviewing import NOTE, REVIEWER, approve, enrol

POLICY = """
// A laboratory's own: whatever is done needs a reviewer. No stage has to be generative for that.

@id("reviewed")
@explain("Stages are permitted with the approval of a reviewer who is a second person.")
permit (principal, action, resource)
when { context has approval && context.approval.secondPerson && context.approval.role == "reviewer" };
"""


def refused(kind: type[ForensicError], code: str):
    return pytest.raises(kind, match=rf"^\[{code}\]")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="A. Miner", lab="Lab", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def exhibit(workspace: Workspace, real_clip: Path) -> Exhibit:
    return acquire(workspace, real_clip, case="C1", exhibit_id="E1", note=None, progress=Silent())


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "reviewed.cedar"
    path.write_text(POLICY)
    return path


@pytest.fixture
def asked(policy: Path) -> EnhanceRequest:
    return EnhanceRequest(recipe="plain-lanczos", frames=(0, 2), policy=str(policy), purpose="evidence")


def allowed(workspace: Workspace, exhibit: Exhibit, request: EnhanceRequest, run_id: str = "R-test") -> bool:
    return judge(workspace, settle(run_id, exhibit, request, 1))[1].allowed


def changed(request: EnhanceRequest, **changes: Any) -> EnhanceRequest:
    return EnhanceRequest(**{**vars(request), **changes})


def events(workspace: Workspace) -> list[str]:
    return [entry.event for entry in workspace.ledger.entries()]


def test_an_approved_run_is_made_and_the_record_names_the_entry(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    with refused(PolicyRefused, "policy.denied"):
        enhance(workspace, exhibit, asked, Silent())
    entry = approve(workspace, exhibit, asked)
    run = enhance(workspace, exhibit, asked, Silent())
    recorded = run.predicate["run"]["approval"]
    reviewer = next(one for one in workspace.identities.known.values() if one.name == REVIEWER)
    assert (recorded["seq"], recorded["hash"]) == (entry.seq, entry.hash)
    assert (recorded["by"], recorded["role"], recorded["key_id"]) == (REVIEWER, "reviewer", reviewer.key_id)
    assert recorded["note"] == NOTE
    assert recorded["certified"] is False
    assert entry.actor["key_id"] == reviewer.key_id
    (used,) = workspace.ledger.entries(event="approval.used")
    (started,) = workspace.ledger.entries(event="run.started")
    assert (used.run, used.data["approval"]) == (run.run_id, {"seq": entry.seq, "hash": entry.hash})
    assert started.data["approval"] == {"seq": entry.seq, "hash": entry.hash}
    verification = verify(workspace.layout.root)
    assert verification.verdict.label == "SIGNED", [c for c in verification.checks if not c.passed]
    assert [check.passed for check in verification.checks if check.number == "I5"] == [True]
    assert reproduce(workspace, run.run_id, Silent()).succeeded


def test_a_run_that_needs_no_approval_uses_none(workspace: Workspace, exhibit: Exhibit) -> None:
    request = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2))
    approve(workspace, exhibit, request)
    run = enhance(workspace, exhibit, request, Silent())
    assert run.predicate["run"]["approval"] is None
    assert "approval.used" not in events(workspace)
    assert [one.state for one in approvals.approvals(workspace)] == ["open"]


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": "classic"},
        {"scale": 3},
        {"roi": (0, 0, 64, 64)},
        {"mode": "creative"},
        {"purpose": "comparison"},
        {"purpose": None},
        {"frames": (0, 3)},
        {"frames": None},
    ],
)
def test_an_approval_is_for_what_it_names_and_nothing_else(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest, changes: dict[str, Any]
) -> None:
    approve(workspace, exhibit, asked)
    assert not allowed(workspace, exhibit, changed(asked, **changes))
    assert "approval.used" not in events(workspace)
    assert allowed(workspace, exhibit, changed(asked, reason="A reason stated later", question="Who?", workers=1))


def test_an_approval_is_for_one_policy_to_the_byte(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest, policy: Path
) -> None:
    approve(workspace, exhibit, asked)
    policy.write_text(POLICY + "// one more line\n")
    assert not allowed(workspace, exhibit, asked)
    policy.write_text(POLICY)
    assert allowed(workspace, exhibit, asked)


def test_an_approval_is_for_one_exhibit(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest, street_clip: Path
) -> None:
    approve(workspace, exhibit, asked)
    other = acquire(workspace, street_clip, case="C1", exhibit_id="E2", note=None, progress=Silent())
    assert not allowed(workspace, other, asked)


def test_an_approval_without_frames_is_for_any_range(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    approve(workspace, exhibit, changed(asked, frames=None))
    assert allowed(workspace, exhibit, changed(asked, frames=(3, 5)))


def test_two_runs_that_race_for_one_approval_do_not_both_get_it(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    approve(workspace, exhibit, asked)
    plans = [settle(f"R-{number}", exhibit, asked, 1) for number in (1, 2)]
    policy, _ = judge(workspace, settle("R-0", exhibit, EnhanceRequest(recipe="plain-lanczos"), 1))
    del policy
    terms = approvals.terms_of(exhibit, plans[0].recipe, plans[0].mode, asked.purpose, _policy(asked), plans[0].frames)
    found = [next(approvals.usable(workspace, terms, plan.run_id)) for plan in plans]  # both look, both see it open
    # The second writes its entry although the first has: what a lost race looks like from inside.
    first = approvals.use(workspace, terms, found[0], "R-1")
    workspace.ledger.append(
        "approval.used", {"approval": {"seq": found[1].seq, "hash": found[1].hash}}, case="C1", exhibit="E1", run="R-2"
    )
    assert first
    assert not approvals.use(workspace, terms, found[1], "R-2")
    assert [one.state for one in approvals.approvals(workspace)] == ["used by R-1"]


def _policy(request: EnhanceRequest) -> Any:
    from forensic.policy.store import load_policy

    return load_policy(str(request.policy))


def test_the_run_that_uses_an_approval_may_ask_again_with_it(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    """A resumed run is the same run."""
    approve(workspace, exhibit, asked)
    assert allowed(workspace, exhibit, asked, "R-1")
    assert allowed(workspace, exhibit, asked, "R-1")
    assert not allowed(workspace, exhibit, asked, "R-2")
    assert events(workspace).count("approval.used") == 1


def test_a_withdrawn_approval_does_not_count(workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest) -> None:
    entry = approve(workspace, exhibit, asked)
    with open_workspace(workspace.layout.root, lambda: "", identity=REVIEWER) as reviewing:
        approvals.withdraw(reviewing, entry.seq, "The purpose was misunderstood")
        with refused(UsageError, "approval.over"):
            approvals.withdraw(reviewing, entry.seq, "again")
        with refused(UsageError, "approval.unknown"):
            approvals.withdraw(reviewing, 1, "no approval")
    assert not allowed(workspace, exhibit, asked)
    assert [one.state for one in approvals.approvals(workspace)] == ["withdrawn"]


def test_an_approval_that_was_used_cannot_be_withdrawn(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    entry = approve(workspace, exhibit, asked)
    assert allowed(workspace, exhibit, asked)
    with refused(UsageError, "approval.over"):
        approvals.withdraw(workspace, entry.seq, "too late")


def test_an_approval_whose_key_was_revoked_does_not_count(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    from forensic.case.enrolment import revoke_identity

    entry = approve(workspace, exhibit, asked)
    revoke_identity(workspace, entry.actor["key_id"], reason="lost", since=None)
    assert not allowed(workspace, exhibit, asked)
    assert [one.state for one in approvals.approvals(workspace)] == ["void, its key was revoked"]


def test_the_newest_approval_that_does_is_taken(workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest) -> None:
    enrol(workspace, "Cy", role="examiner")
    approve(workspace, exhibit, asked)
    approve(workspace, exhibit, asked, "Cy")  # no reviewer: not enough
    second = approve(workspace, exhibit, asked)
    assert allowed(workspace, exhibit, asked)
    assert {one.entry.seq: one.state for one in approvals.approvals(workspace)}[second.seq] == "used by R-test"


def test_what_an_entry_claims_about_its_signer_is_not_believed(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    """The examiner signs an approval that says somebody else gave it."""
    enrol(workspace)
    plan = settle("R", exhibit, asked, 1)
    terms = approvals.terms_of(exhibit, plan.recipe, plan.mode, asked.purpose, _policy(asked), plan.frames)
    data = {"terms": terms.to_record(), "note": NOTE, "by": {"name": REVIEWER, "role": "reviewer"}}
    workspace.ledger.append("approval.given", data, case="C1", exhibit="E1")
    assert not allowed(workspace, exhibit, asked)
    (found,) = approvals.approvals(workspace)
    assert (found.given.by, found.given.role) == ("A. Miner", "examiner")


def test_a_request_has_no_place_for_an_approval() -> None:
    with pytest.raises(TypeError):
        EnhanceRequest(approval="by me")  # type: ignore[call-arg]


def test_entries_that_are_no_approvals_in_form_do_no_harm(
    workspace: Workspace, exhibit: Exhibit, asked: EnhanceRequest
) -> None:
    for data in ({}, {"terms": 5}, {"terms": {"frames": []}}, {"terms": None, "note": 7}):
        workspace.ledger.append("approval.given", data, case="C1", exhibit="E1")
    for data in ({}, {"approval": 3}, {"approval": {"seq": "x"}}):
        workspace.ledger.append("approval.used", data, case="C1", exhibit="E1", run="R-x")
    assert not allowed(workspace, exhibit, asked)
    approve(workspace, exhibit, asked)
    assert allowed(workspace, exhibit, asked)


def test_by_the_command(tmp_path: Path, real_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process: starting one for each of the eighteen commands takes longer than what they do."""
    root, policy = tmp_path / "ws", tmp_path / "reviewed.cedar"
    policy.write_text(POLICY)

    def command(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(argument) for argument in (*arguments, "-w", root)])
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    assert command("init", "--examiner", "Ada").code == 0
    assert command("acquire", real_clip, "--case", "C1", "--exhibit", "E1").code == 0
    assert command("identity", "add", "--name", "Bea").code == 0
    what = ["--recipe", "plain-lanczos", "--policy", policy, "--purpose", "evidence"]
    enhancing = ["enhance", "E1", *what, "--frames", "0:2"]
    first = command(*enhancing)
    assert (first.code, "policy.denied" in first.err) == (3, True)
    approving = ["approve", "E1", *what, "--note"]
    assert command(*approving, "too short", "--as", "Bea").code == 2
    assert command(*approving, NOTE).code == 2  # whose key?
    assert command(*approving, NOTE, "--as", "Cy").code == 2
    assert command("approve", "E9", *what, "--note", NOTE, "--as", "Bea").code == 2
    given = command(*approving, NOTE, "--as", "Bea", "--json")
    assert given.code == 0, given.err
    assert command(*enhancing).code == 0
    assert command(*enhancing).code == 3  # used once
    (shown,) = command("approve", "--list", "--json").json
    assert (shown["seq"], shown["by"], shown["role"]) == (given.json["seq"], "Bea", "reviewer")
    assert shown["state"].startswith("used by R-")
    again = command(*approving, NOTE, "--as", "Bea", "--json").json["seq"]
    assert command("approve", "--withdraw", again, "--note", "not any more", "--as", "Bea").code == 0
    assert command(*enhancing).code == 3
    assert "withdrawn" in command("approve", "--list").out
    told = {entry["name"]: entry["summary"] for entry in command("log", "--json").json}
    assert "key" in told["identity.introduced"] and "Bea" in told["approval.used"]
    assert told["approval.withdrawn"].endswith("not any more")
    assert audit(root / "ledger.sqlite").ok
