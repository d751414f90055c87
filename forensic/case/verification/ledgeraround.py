"""The ledger of the workspace that a folder lies in, where the folder was given alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forensic.case.layout import WorkspaceLayout
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import Custody
from forensic.case.verification.records import cited_head
from forensic.ledger.audit import audit


def audited_around(
    verification: Verification, root: Path, among: str, predicate: dict[str, Any]
) -> tuple[Custody | None, bool]:
    """C1: what the ledger around ``root`` says, None if it is not sound; and whether there is one.

    ``among``: the workspace's folder that ``root`` must lie in directly (``runs``, ``validations``, ``calibrations``).
    """
    folder = root.absolute()
    workspace = WorkspaceLayout(folder.parent.parent)
    if folder.parent != workspace.root / among or not workspace.ledger.is_file():
        return None, False
    head = cited_head(predicate)
    result = audit(workspace.ledger, cited_heads=[] if head is None else [head])
    reasons = "; ".join(f"{found.check} {found.reason}" for found in result.findings[:3])
    sound = verification.record("C1", "ledger is sound and holds the cited head", result.ok and bool(head), reasons)
    return (Custody.read(workspace.ledger) if sound else None), True
