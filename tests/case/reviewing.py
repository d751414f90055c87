"""A reviewer with a key of her own, who approves what a test is about to ask for."""

from __future__ import annotations

from forensic.case.approvals import give, terms_of
from forensic.case.enrolment import add_identity
from forensic.case.exhibits import Exhibit
from forensic.case.plan import DEFAULT_POLICY, EnhanceRequest, settle
from forensic.case.workspace import Workspace, open_workspace
from forensic.ledger.entry import LedgerEntry
from forensic.policy.store import load_policy

REVIEWER = "B. Other"
NOTE = "Looked at the recipe and the purpose; it is no evidence."


def enrol(workspace: Workspace, name: str = REVIEWER, role: str = "reviewer") -> None:
    """Make sure that there is a further identity called ``name``, without a passphrase."""
    if name not in {known.name for known in workspace.identities.known.values()}:
        add_identity(workspace, name=name, lab=None, role=role, passphrase=None)


def approve(workspace: Workspace, exhibit: Exhibit, request: EnhanceRequest, name: str = REVIEWER) -> LedgerEntry:
    """Approve ``request`` on ``exhibit`` with the key of ``name``, as ``forensic approve`` does."""
    enrol(workspace, name)
    plan = settle("(an approval)", exhibit, request, 1)
    policy = load_policy(request.policy or DEFAULT_POLICY[plan.mode])
    frames = None if request.frames is None else plan.frames
    terms = terms_of(exhibit, plan.recipe, plan.mode, request.purpose, policy, frames)
    with open_workspace(workspace.layout.root, lambda: "", identity=name) as reviewing:
        return give(reviewing, terms, NOTE)
