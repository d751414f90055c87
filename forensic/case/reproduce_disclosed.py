"""``forensic reproduce BUNDLE``: somebody who holds only the disclosure computes its runs again."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from forensic.case.acquired import parse_acquired
from forensic.case.exhibits import Exhibit
from forensic.case.layout import ExhibitFolder, RunFolder
from forensic.case.progress import Progress
from forensic.case.regularfile import read_regular
from forensic.case.reproduce import Reproduction, compare, judge_as_recorded, plan_of_record, recorded_frames
from forensic.case.verification.bundleform.bag import ENTRIES, RUNS
from forensic.case.verification.bundleform.description import exhibit_folder
from forensic.case.verification.bundles import verify_bundle
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.trust import NOTHING, Trust
from forensic.errors import BadInput, ForensicError, UsageError
from forensic.ledger.entry import LedgerEntry, parse_entry
from forensic.ledger.order import ACQUIRED
from forensic.signing.statement import RUN_PREDICATE, verify_statement

_LONGEST_EXTRACT = 1 << 30


def reproduce_disclosed(
    path: Path, progress: Progress, *, trust: Trust = NOTHING
) -> tuple[Verification, list[Reproduction]]:
    """Verify the unpacked bundle at ``path``, then compute every run in it again from its original.

    Nothing is written but to a private temporary folder, and no ledger is needed. Adds check P1 for each
    run; REPRODUCED is reached if every frame of every run came out identical to the bit. A run whose original
    is not in the bundle is named as not checked. Raises ``UsageError`` (``reproduce.archive``) for an archive.
    """
    if not path.is_dir():
        raise UsageError(
            "reproduce.archive",
            f"{path} is an archive.",
            "Unpack it, and give the folder: runs are computed from files.",
        )
    verification = verify_bundle(path, progress.say, trust=trust)
    if verification.verdict is Verdict.FAILED:
        return verification, []
    acquired = _acquired(path)
    results, left_out = [], 0
    for folder in sorted((path / RUNS).iterdir()) if (path / RUNS).is_dir() else []:
        run = RunFolder(folder)
        statement, _ = verify_statement(run.attestation.read_bytes(), predicate_type=RUN_PREDICATE)
        exhibit = _exhibit(path, acquired[statement.predicate["exhibit"]["id"]])
        if not exhibit.original.is_file():
            verification.not_checked.append(f"run {folder.name}: not computed again, the original is not in the bundle")
            left_out += 1
            continue
        try:
            result = _again(run, exhibit, statement.predicate, progress)
        except ForensicError as error:  # a policy that refuses, an exhibit that cannot be decoded here
            verification.record("P1", f"run {folder.name} was computed again", False, f"{error.code}: {error.message}")
            continue
        results.append(result)
        verification.record("P1", f"run {folder.name} was computed again", result.succeeded, result.verdict)
    if results and not left_out and all(result.exact for result in results):
        verification.reach(Verdict.REPRODUCED, f"every frame of {len(results)} runs computed again on this machine")
    return verification, results


def _acquired(path: Path) -> dict[str | None, LedgerEntry]:
    """The entries about exhibits in the extract, which has just been verified."""
    lines = read_regular(path / ENTRIES, _LONGEST_EXTRACT).splitlines()
    entries = (parse_entry(json.loads(line)["entry"].encode("utf-8")) for line in lines)
    return {entry.exhibit: entry for entry in entries if entry.event == ACQUIRED}


def _exhibit(path: Path, entry: LedgerEntry) -> Exhibit:
    acquired = parse_acquired(entry.data)
    folder = ExhibitFolder(path / exhibit_folder(acquired))
    return Exhibit(entry.exhibit or "", entry.case or "", acquired.sha256, dict(entry.data), entry.utc, folder)


def _again(run: RunFolder, exhibit: Exhibit, predicate: dict[str, Any], progress: Progress) -> Reproduction:
    with tempfile.TemporaryDirectory(prefix="forensic-reproduce-") as scratch:
        try:
            rows = recorded_frames(run, run.root.name, predicate)
            plan = plan_of_record(exhibit, run.root.name, predicate)
            decision = judge_as_recorded(run, plan, predicate, Path(scratch))
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # a signature does not vouch for the form
            raise BadInput("record.form", f"The record does not say what was done: {type(error).__name__}.") from error
        return compare(plan, decision, run, rows, predicate, Path(scratch), progress)
