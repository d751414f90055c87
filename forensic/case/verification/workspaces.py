"""Checks on a whole workspace: ledger, exhibits, every run, and nothing in camouflage beside them."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from forensic.case.acquired import parse_acquired
from forensic.case.layout import INCOMPLETE, RunFolder, WorkspaceLayout
from forensic.case.regularfile import JSON_LIMIT, digest_regular, read_regular
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import FINISHED, Custody
from forensic.case.verification.runs import cited_head, verify_run
from forensic.case.verification.trust import NOTHING, Trust
from forensic.errors import ForensicError
from forensic.ledger.audit import audit
from forensic.ledger.entry import LedgerEntry
from forensic.signing.statement import RUN_PREDICATE, verify_statement


def verify_workspace(
    root: Path, say: Callable[[str], None] = lambda _: None, *, trust: Trust = NOTHING
) -> Verification:
    """Verify the workspace at ``root``: ledger, exhibits against it, runs against it."""
    layout = WorkspaceLayout(root)
    verification = Verification(str(root), "workspace")
    folders, others = _entries(layout.runs)
    result = audit(layout.ledger, cited_heads=_cited_heads(RunFolder(layout.runs / name) for name in sorted(folders)))
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
    custody = Custody.read(layout.ledger)
    for entry in custody.exhibits:
        say(f"exhibit {entry.exhibit}")
        faults = _exhibit_faults(layout, entry)
        verification.record("W1", f"exhibit {entry.exhibit} is unchanged", not faults, ", ".join(faults))
    _check_exhibit_folders(verification, layout, custody)
    explained = _check_finished(verification, layout, custody, folders, say)
    for name in sorted(folders - explained):
        run_id = name.removesuffix(INCOMPLETE)
        run = custody.runs.get(run_id)
        if name != run_id and run is not None and run.started and run.end != FINISHED:
            explained.add(name)
            verification.not_checked.append(f"runs/{name}: left by a run with end {run.end or 'unknown'}, not evidence")
    unknown = sorted(folders - explained) + sorted(others)
    verification.record("W3", "nothing lies among the runs that the ledger does not know", not unknown, _some(unknown))
    verification.not_checked.extend(
        f"run {run_id}: started, not finished"
        for run_id, run in sorted(custody.runs.items())
        if run.started and run.end is None
    )
    verification.not_checked.append(
        "whether entries after the last head that a run cites were cut off: only a later document can show that"
    )
    return verification


def _entries(folder: Path) -> tuple[set[str], set[str]]:
    """Names in ``folder``: real folders, and everything else (files, links, pipes)."""
    try:
        modes = {path.name: path.lstat().st_mode for path in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set(), set()
    folders = {name for name, mode in modes.items() if stat.S_ISDIR(mode)}
    return folders, set(modes) - folders


def _check_finished(
    verification: Verification,
    layout: WorkspaceLayout,
    custody: Custody,
    folders: set[str],
    say: Callable[[str], None],
) -> set[str]:
    """W2 and the checks of every finished run; returns the names of the folders that these are."""
    explained = set()
    for run_id in sorted(custody.finished()):
        say(f"run {run_id}")
        # The ledger's entry is written before the rename: after a power cut only the old name may be there.
        name = next((name for name in (run_id, run_id + INCOMPLETE) if name in folders), None)
        if name is None:
            reason = "the ledger says finished, the folder is gone or is no folder"
            verification.record("W2", f"run {run_id} is there", False, reason)
            continue
        explained.add(name)
        if name != run_id:
            verification.not_checked.append(f"run {run_id}: rename interrupted, verified in {name}")
        verification.absorb(verify_run(layout.runs / name, ledger=custody), run_id)
    return explained


def _exhibit_faults(layout: WorkspaceLayout, entry: LedgerEntry) -> list[str]:
    try:
        acquired = parse_acquired(entry.data)
    except ForensicError as error:
        return [error.message]
    folder = layout.exhibit(acquired.sha256)
    if folder.root.is_symlink():
        return ["its folder is a link"]
    files = (
        (folder.original(acquired.suffix), acquired.sha256),
        (folder.frames, acquired.manifest_sha256),
        (folder.acquisition, acquired.acquisition_sha256),
    )
    return [path.name for path, digest in files if digest_regular(path) != digest]


def _check_exhibit_folders(verification: Verification, layout: WorkspaceLayout, custody: Custody) -> None:
    known = {entry.data.get("sha256") for entry in custody.exhibits if isinstance(entry.data.get("sha256"), str)}
    folders, others = _entries(layout.exhibits)
    for name in sorted((folders | others) - known):
        verification.not_checked.append(f"exhibits/{name}: the ledger knows no such exhibit, not evidence")


def _cited_heads(folders: Iterable[RunFolder]) -> list[tuple[int, str]]:
    """Heads cited by the records of run folders; a record that cannot be read fails its own checks later."""
    heads = []
    for folder in folders:
        try:
            statement, _ = verify_statement(read_regular(folder.attestation, JSON_LIMIT), predicate_type=RUN_PREDICATE)
        except (OSError, ForensicError):
            continue
        head = cited_head(statement.predicate)
        if head is not None:
            heads.append(head)
    return heads


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
