"""Checks on a whole workspace: ledger, exhibits, every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from forensic.case.layout import WorkspaceLayout
from forensic.case.verification.checks import Verification
from forensic.case.verification.runs import verify_run
from forensic.errors import ForensicError
from forensic.hashes import sha256_file
from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger


def verify_workspace(root: Path, say: Callable[[str], None] = lambda _: None) -> Verification:
    """Verify the workspace at ``root``: ledger, exhibits against it, runs against it."""
    layout = WorkspaceLayout(root)
    verification = Verification(str(root), "workspace")
    result = audit(layout.ledger)
    sound = verification.record(
        "L1",
        "ledger is sound",
        result.ok,
        "; ".join(str(finding) for finding in result.findings[:5]) or f"{result.entries} entries",
    )
    if not sound:
        return verification
    verification.signed = True
    try:
        with Ledger.open(layout.ledger) as ledger:
            exhibits = list(ledger.entries(event="exhibit.acquired"))
            finished = {entry.run or "": entry for entry in ledger.entries(event="run.finished")}
            unfinished = [entry.run or "" for entry in ledger.unfinished_runs()]
            first = next(iter(ledger.entries(event="workspace.created")))
    except ForensicError as error:
        verification.record("L3", "ledger can be read", False, error.message)
        return verification
    identity = first.data["identity"]
    verification.signers[identity["certificate_sha256"]] = identity["subject"]
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
    present = {path.name for path in layout.runs.iterdir() if path.is_dir()} if layout.runs.is_dir() else set()
    for run_id in sorted(finished):
        say(f"run {run_id}")
        if run_id in present:
            verification.absorb(verify_run(layout.run(run_id).root), run_id)
        else:
            verification.record("W2", f"run {run_id} is there", False, "the ledger says finished, the folder is gone")
    complete = {name for name in present if not name.endswith(".incomplete")}
    unknown = sorted(complete - finished.keys())
    verification.record("W3", "no run folder is there that the ledger does not know", not unknown, ", ".join(unknown))
    verification.not_checked.extend(f"run {run_id}: started, not finished" for run_id in unfinished)
    verification.not_checked.append(
        "whether entries were cut off at the end of the ledger: only a report or a later document that cites a "
        "head can show that"
    )
    return verification


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"
