"""Approvals: a second person's signed word for one run, given before it, used once.

An approval is a ledger entry signed with the approver's own key. It is bound to an exhibit and its bytes, to
the recipe with every effective parameter, to mode, purpose and policy, and to frames where it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from forensic.case.approvalterms import GIVEN, USED, WITHDRAWN, Terms, stages_sha256
from forensic.case.exhibits import Exhibit
from forensic.case.identities import IdentityRegister, parse_utc
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import PolicyRefused, UsageError
from forensic.ledger.entry import LedgerEntry
from forensic.policy.request import Approval, Mode, Purpose
from forensic.policy.store import Policy
from forensic.stages.recipe import BoundRecipe

FEWEST_LETTERS = 15  # of a note, as of a reason


def terms_of(
    exhibit: Exhibit,
    bound: BoundRecipe,
    mode: Mode,
    purpose: str | None,
    policy: Policy,
    frames: tuple[int, int] | None = None,
) -> Terms:
    """The terms of a run, or of an approval about to be given."""
    return Terms(
        case=exhibit.case,
        exhibit=exhibit.id,
        exhibit_sha256=exhibit.sha256,
        recipe={
            "name": bound.recipe.name,
            "sha256": bound.recipe.sha256,
            "stages_sha256": stages_sha256(bound.record()["stages"]),
        },
        mode=mode.value,
        purpose=str(purpose or Purpose.UNSTATED),
        policy={"name": policy.name, "sha256": policy.sha256, "schema_sha256": policy.schema_sha256},
        frames=frames,
    )


def give(workspace: Workspace, terms: Terms, note: str) -> LedgerEntry:
    """Record the approval of the person whose key the workspace was opened with.

    Raises ``UsageError`` (``approval.note``) for a note that says nothing.
    """
    if sum(character.isalnum() for character in note) < FEWEST_LETTERS:
        raise UsageError(
            "approval.note",
            f"The note must have at least {FEWEST_LETTERS} letters or digits.",
            "Say what was looked at and why it is approved.",
        )
    actor = workspace.actor
    data = {"terms": terms.to_record(), "note": note, "by": {"name": actor.name, "role": actor.role}}
    return workspace.ledger.append(GIVEN, data, case=terms.case, exhibit=terms.exhibit)


def withdraw(workspace: Workspace, seq: int, reason: str) -> LedgerEntry:
    """Withdraw approval ``seq``: from this entry on no run may use it.

    Raises ``UsageError`` (``approval.unknown``, ``approval.over``).
    """
    found = next((one for one in approvals(workspace) if one.entry.seq == seq), None)
    if found is None:
        raise UsageError("approval.unknown", f"Entry {seq} is no approval.", "See: forensic approve --list")
    if found.state != "open":
        raise UsageError("approval.over", f"Approval {seq} cannot be withdrawn: it is {found.state}.")
    return workspace.ledger.append(
        WITHDRAWN, {"approval": reference(found.entry), "reason": reason},
        case=found.entry.case, exhibit=found.entry.exhibit,
    )  # fmt: skip


def reference(entry: LedgerEntry) -> dict[str, Any]:
    """How other entries and records name an approval."""
    return {"seq": entry.seq, "hash": entry.hash}


@dataclass(frozen=True)
class RecordedApproval:
    """An approval in the ledger, what became of it, and who gave it, as the ledger knows the key that signed."""

    entry: LedgerEntry
    given: Approval
    withdrawn: LedgerEntry | None
    used: LedgerEntry | None
    key_state: str

    @property
    def state(self) -> str:
        """``open``, ``used by RUN``, ``withdrawn``, or that the key has been revoked."""
        if self.used is not None:
            return f"used by {self.used.run}"
        if self.withdrawn is not None:
            return "withdrawn"
        return "void, its key was revoked" if self.key_state == "revoked" else "open"

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "seq": self.entry.seq,
            "hash": self.entry.hash,
            "utc": self.entry.utc,
            "state": self.state,
            "by": self.given.by,
            "role": self.given.role,
            "key_id": self.given.key_id,
            "certified": self.given.certified,
            "certified_detail": self.given.certified_detail,
            "note": self.given.note,
            "terms": self.entry.data.get("terms"),
        }


def approvals(workspace: Workspace, exhibit: str | None = None) -> list[RecordedApproval]:
    """All approvals (of one exhibit), newest first. Who gave one is read from the key that signed it."""
    ledger, register = workspace.ledger, IdentityRegister.of(workspace.ledger)
    over: dict[str, dict[int, LedgerEntry]] = {WITHDRAWN: {}, USED: {}}
    for event, found in over.items():
        for entry in ledger.entries(event=event, exhibit=exhibit):
            seq = _referred(entry)
            if seq is not None:
                found.setdefault(seq, entry)
    listed = []
    for entry in ledger.entries(event=GIVEN, exhibit=exhibit):
        known = register.known[entry.actor["key_id"]]
        withdrawn, used = over[WITHDRAWN].get(entry.seq), over[USED].get(entry.seq)
        if withdrawn is not None and used is not None:  # whichever came first
            withdrawn, used = (withdrawn, None) if withdrawn.seq < used.seq else (None, used)
        listed.append(RecordedApproval(entry, _given(entry, register), withdrawn, used, known.state))
    return listed[::-1]


def _referred(entry: LedgerEntry) -> int | None:
    named = entry.data.get("approval")
    seq = named.get("seq") if isinstance(named, dict) else None
    return seq if isinstance(seq, int) else None


def _given(entry: LedgerEntry, register: IdentityRegister) -> Approval:
    """Name, key and role are those of whoever signed the entry; what its data claims about them is not looked at."""
    known = register.known[entry.actor["key_id"]]
    why_not = register.why_not_certified(known.key_id, max(utc_now(), parse_utc(entry.utc)))
    return Approval(
        by=known.name,
        role=known.role,
        note=str(entry.data.get("note", "")),
        key_id=known.key_id,
        certified=not why_not,
        certified_detail=why_not,
        seq=entry.seq,
        hash=entry.hash,
    )


def usable(workspace: Workspace, terms: Terms, run_id: str) -> Iterator[Approval]:
    """Approvals that meet ``terms`` and are open, or were used by this very run; newest first."""
    for one in approvals(workspace, terms.exhibit):
        by_this_run = one.used is not None and one.used.run == run_id
        if terms.met_by(one.entry.data.get("terms")) and (one.state == "open" or by_this_run):
            yield one.given


def use(workspace: Workspace, terms: Terms, approval: Approval, run_id: str) -> bool:
    """Record that ``run_id`` uses the approval; False if another run, or a withdrawal, came first.

    Entries have one order: of two processes that both write theirs, the one with the lower number has it.
    """

    def now() -> RecordedApproval:
        return next(one for one in approvals(workspace, terms.exhibit) if one.entry.seq == approval.seq)

    if now().state == "open":
        data = {"approval": {"seq": approval.seq, "hash": approval.hash}, "by": approval.by, "role": approval.role}
        workspace.ledger.append(USED, data, case=terms.case, exhibit=terms.exhibit, run=run_id)
    used = now().used
    return used is not None and used.run == run_id


def require_standing(workspace: Workspace, recorded: dict[str, Any], begun: LedgerEntry) -> None:
    """Insist that the approval in a recorded decision still stands, before the run that began with ``begun`` goes on.

    Raises ``PolicyRefused`` (``approval.void``) if it was withdrawn, its key revoked (whenever), or retired meanwhile.
    """
    named = recorded["context"].get("approval")
    if named is None:
        return
    known = IdentityRegister.of(workspace.ledger).known.get(named["key_id"])
    withdrawn = [entry.seq for entry in workspace.ledger.entries(event=WITHDRAWN) if _referred(entry) == named["seq"]]
    fault = ""
    if withdrawn:
        fault = f"was withdrawn (entry {withdrawn[0]})"
    elif known is None or known.revoked is not None:
        fault = "was signed with a key that has been revoked"
    elif known.retired is not None and known.retired.seq > begun.seq:
        fault = "was signed with a key that has been retired since the run began"
    if fault:
        raise PolicyRefused(
            "approval.void",
            f"Approval {named['seq']}, under which run {begun.run} began, {fault}.",
            "Have the run approved again (forensic approve) and begin a new one.",
        )
