"""Checks on a whole workspace: ledger, exhibits, every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from forensic.case.layout import WorkspaceLayout
from forensic.case.verification.checks import Verification
from forensic.case.verification.runs import LedgerUse, cited_head, verify_run
from forensic.errors import ForensicError
from forensic.hashes import sha256_file
from forensic.ledger.audit import audit
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import TERMINAL
from forensic.ledger.reading import audited_entries
from forensic.signing.statement import RUN_PREDICATE, verify_statement


def verify_workspace(root: Path, say: Callable[[str], None] = lambda _: None) -> Verification:
    """Verify the workspace at ``root``: ledger, exhibits against it, runs against it."""
    layout = WorkspaceLayout(root)
    verification = Verification(str(root), "workspace")
    present = {path.name for path in layout.runs.iterdir() if path.is_dir()} if layout.runs.is_dir() else set()
    complete = {name for name in present if not name.endswith(".incomplete")}
    result = audit(layout.ledger, cited_heads=_cited_heads(layout, complete))
    sound = verification.record(
        "C1",
        "ledger is sound and holds every head that a run cites",
        result.ok,
        "; ".join(f"{found.check} {found.reason}" for found in result.findings[:5]) or f"{result.entries} entries",
    )
    if not sound:
        return verification
    verification.signed = True
    for facts in result.signers:
        verification.signers[facts["certificate_sha256"]] = facts["subject"]
    exhibits: list[LedgerEntry] = []
    finished: set[str] = set()
    open_runs: set[str] = set()
    for entry in audited_entries(layout.ledger):
        if entry.event == "exhibit.acquired":
            exhibits.append(entry)
        elif entry.event == "run.started":
            open_runs.add(entry.run or "")
        elif entry.event in TERMINAL:
            open_runs.discard(entry.run or "")
            if entry.event == "run.finished":
                finished.add(entry.run or "")
    for entry in exhibits:
        say(f"exhibit {entry.exhibit}")
        folder = layout.exhibit(entry.data["sha256"])
        files = (
            (folder.original(entry.data["suffix"]), entry.data["sha256"]),
            (folder.frames, entry.data["frames"]["manifest_sha256"]),
            (folder.acquisition, entry.data["acquisition_sha256"]),
        )
        changed = [path.name for path, digest in files if _digest(path) != digest]
        verification.record("W1", f"exhibit {entry.exhibit} is unchanged", not changed, ", ".join(changed))
    for run_id in sorted(finished):
        say(f"run {run_id}")
        if run_id in present:
            verification.absorb(verify_run(layout.run(run_id).root, ledger=LedgerUse.AUDITED), run_id)
        else:
            verification.record("W2", f"run {run_id} is there", False, "the ledger says finished, the folder is gone")
    unknown = sorted(complete - finished)
    verification.record("W3", "no run folder is there that the ledger does not know", not unknown, ", ".join(unknown))
    verification.not_checked.extend(f"run {run_id}: started, not finished" for run_id in sorted(open_runs))
    verification.not_checked.append(
        "whether entries after the last head that a run cites were cut off: only a later document can show that"
    )
    return verification


def _cited_heads(layout: WorkspaceLayout, runs: set[str]) -> list[tuple[int, str]]:
    """Heads cited by the records of run folders; a record that cannot be read fails its own checks later."""
    heads = []
    for run_id in sorted(runs):
        try:
            statement, _ = verify_statement(layout.run(run_id).attestation.read_bytes(), predicate_type=RUN_PREDICATE)
        except (OSError, ForensicError):
            continue
        head = cited_head(statement.predicate)
        if head is not None:
            heads.append(head)
    return heads


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"
