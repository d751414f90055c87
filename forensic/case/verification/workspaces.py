"""Checks on a whole workspace: ledger, exhibits, every run, and nothing in camouflage beside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from forensic.case.acquired import parse_acquired
from forensic.case.layout import INCOMPLETE, SignedFolder, WorkspaceLayout
from forensic.case.regularfile import JSON_LIMIT, digest_regular, read_regular
from forensic.case.verification.anchors import check_anchors
from forensic.case.verification.calibrationfolders import check_calibration_folders
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import FINISHED, Custody
from forensic.case.verification.existence import anchored_since, checkpoints_existed_at
from forensic.case.verification.handling import Handling, check_handling
from forensic.case.verification.identities import check_ledger_signers, note_signers
from forensic.case.verification.listing import entries_of, some_of
from forensic.case.verification.records import cited_head
from forensic.case.verification.runs import verify_run
from forensic.case.verification.timestamps import check_received, check_strays, check_timestamps
from forensic.case.verification.trust import NOTHING, Trust
from forensic.case.verification.validationfolders import check_validation_folders
from forensic.errors import ForensicError
from forensic.ledger.audit import audit
from forensic.ledger.entry import LedgerEntry
from forensic.signing.statement import (
    CALIBRATION_PREDICATE,
    RUN_PREDICATE,
    VALIDATION_PREDICATE,
    verify_statement,
)


def verify_workspace(
    root: Path, say: Callable[[str], None] = lambda _: None, *, trust: Trust = NOTHING
) -> Verification:
    """Verify the workspace at ``root``: ledger, exhibits against it, runs against it."""
    layout = WorkspaceLayout(root)
    verification = Verification(str(root), "workspace")
    folders, others = entries_of(layout.runs)
    result = audit(layout.ledger, cited_heads=[*_cited_heads(layout.runs, RUN_PREDICATE),
                                               *_cited_heads(layout.validations, VALIDATION_PREDICATE),
                                               *_cited_heads(layout.calibrations, CALIBRATION_PREDICATE)])  # fmt: skip
    sound = verification.record(
        "C1",
        "ledger is sound and holds every head that a run or validation cites",
        result.ok,
        "; ".join(f"{found.check} {found.reason}" for found in result.findings[:5]) or f"{result.entries} entries",
    )
    if not sound:
        return verification
    verification.signed = True
    custody = Custody.read(layout.ledger)
    for facts in result.signers:
        if facts["key_id"] in custody.signing.signed:  # an introduction alone is no word of the key's holder
            verification.signers[facts["certificate_sha256"]] = facts["subject"]
    for entry in custody.exhibits:
        say(f"exhibit {entry.exhibit}")
        faults, absence = _exhibit_faults(layout, entry, custody.handling)
        told = ", ".join(faults) or absence
        verification.record("W1", f"exhibit {entry.exhibit} is unchanged", not faults, told)
    check_handling(verification, custody.handling)
    note_signers(verification, custody.signing.register, trust)
    check_ledger_signers(
        verification,
        custody.signing,
        trust,
        lambda entry: checkpoints_existed_at(anchored_since(layout.anchors, entry.seq), trust),
    )
    _check_exhibit_folders(verification, layout, custody)
    check_anchors(verification, layout, trust=trust, covering=custody.newest())
    check_timestamps(verification, layout, trust=trust, covering=custody.newest())
    check_received(verification, layout, custody.timestamps)
    check_strays(verification, layout, custody.reports())
    explained = _check_finished(verification, layout, custody, folders, say, trust)
    for name in sorted(folders - explained):
        run_id = name.removesuffix(INCOMPLETE)
        run = custody.runs.get(run_id)
        if name != run_id and run is not None and run.started and run.end != FINISHED:
            explained.add(name)
            verification.not_checked.append(f"runs/{name}: left by a run with end {run.end or 'unknown'}, not evidence")
    unknown = sorted(folders - explained) + sorted(others)
    verification.record(
        "W3", "nothing lies among the runs that the ledger does not know", not unknown, some_of(unknown)
    )
    verification.not_checked.extend(
        f"run {run_id}: started, not finished"
        for run_id, run in sorted(custody.runs.items())
        if run.started and run.end is None
    )
    check_validation_folders(verification, layout, custody, say, trust)
    check_calibration_folders(verification, layout, custody, say, trust)
    verification.not_checked.append(
        "whether entries after the last head that a run cites were cut off: only a later document can show that"
    )
    return verification


def _check_finished(
    verification: Verification,
    layout: WorkspaceLayout,
    custody: Custody,
    folders: set[str],
    say: Callable[[str], None],
    trust: Trust,
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
        verification.absorb(verify_run(layout.runs / name, ledger=custody, trust=trust), run_id)
    return explained


def _exhibit_faults(layout: WorkspaceLayout, entry: LedgerEntry, handling: Handling) -> tuple[list[str], str]:
    """W1: the files that are not as recorded; and, where nothing else is wrong, why the copy is absent."""
    try:
        acquired = parse_acquired(entry.data)
    except ForensicError as error:
        return [error.message], ""
    folder = layout.exhibit(acquired.sha256)
    if folder.root.is_symlink():
        return ["its folder is a link"], ""
    original = folder.original(acquired.suffix)
    files = (
        (original, acquired.sha256),
        (folder.frames, acquired.manifest_sha256),
        (folder.acquisition, acquired.acquisition_sha256),
    )
    faults = [path.name for path, digest in files if digest_regular(path) != digest]
    there = os.path.lexists(original)
    if there and handling.must_be_gone(acquired.sha256):
        faults.append(f"{original.name} is there, and was destroyed by the ledger's word")
    destroyed = handling.gone(acquired.sha256)
    if faults == [original.name] and not there and destroyed is not None:
        return [], f"its copy was destroyed (entry {destroyed}), what was recorded of it is unchanged"
    return faults, ""


def _check_exhibit_folders(verification: Verification, layout: WorkspaceLayout, custody: Custody) -> None:
    known = {entry.data.get("sha256") for entry in custody.exhibits if isinstance(entry.data.get("sha256"), str)}
    folders, others = entries_of(layout.exhibits)
    for name in sorted((folders | others) - known):
        verification.not_checked.append(f"exhibits/{name}: the ledger knows no such exhibit, not evidence")


def _cited_heads(folder: Path, kind: str) -> list[tuple[int, str]]:
    """Heads cited by the records of the folders in ``folder``; one that cannot be read fails its own checks later."""
    heads = []
    for name in sorted(entries_of(folder)[0]):
        try:
            data = read_regular(SignedFolder(folder / name).attestation, JSON_LIMIT)
            statement, _ = verify_statement(data, predicate_type=kind)
        except (OSError, ForensicError):
            continue
        head = cited_head(statement.predicate)
        if head is not None:
            heads.append(head)
    return heads
