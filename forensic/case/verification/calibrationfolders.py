"""W6 and W7: the calibrations of a workspace are where its ledger says, and nothing lies among them besides."""

from __future__ import annotations

from collections.abc import Callable

from forensic.case.calibrating.events import COMPLETED, REGISTERED
from forensic.case.layout import INCOMPLETE, CalibrationFolder, WorkspaceLayout
from forensic.case.regularfile import digest_regular
from forensic.case.verification.calibrations import verify_calibration
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import Custody
from forensic.case.verification.listing import entries_of, lies_in, some_of, told_place
from forensic.case.verification.trust import Trust
from forensic.ledger.entry import LedgerEntry


def check_calibration_folders(
    verification: Verification, layout: WorkspaceLayout, custody: Custody, say: Callable[[str], None], trust: Trust
) -> None:
    """W6 and the checks of every completed calibration; W7: the ledger knows every folder among the calibrations."""
    folders, others = entries_of(layout.calibrations)
    explained: set[str] = set()
    for identifier, entries in sorted(custody.calibrations.items()):
        completed = [entry for entry in entries if entry.event == COMPLETED]
        final = _name_here(layout, completed or entries)
        if not completed:
            ended = entries[-1].event
            left = None if final is None else f"{final}{INCOMPLETE}"
            if left in folders:
                explained.add(str(left))
                note = f"calibrations/{left}: left by a calibration with end {ended}, counts for nothing"
            else:
                note = f"calibration {identifier}: {ended}, not completed"
            verification.not_checked.append(note)
            continue
        if final is None:
            verification.not_checked.append(f"calibration {identifier}: its folder lies elsewhere")
            continue
        say(f"calibration {identifier}")
        # The ledger's entry is written before the rename: after a power cut only the old name may be there.
        name = next((name for name in (final, f"{final}{INCOMPLETE}") if name in folders), None)
        title = f"calibration {identifier} is there"
        if name is None:
            verification.record("W6", title, False, "the ledger says completed, the folder is gone or is no folder")
            continue
        explained.add(name)
        record = digest_regular(CalibrationFolder(layout.calibrations / name).attestation)
        named = record == completed[-1].data.get("attestation_sha256")
        verification.record(
            "W6", title, named, "" if named else "the record in its folder is not the one that the ledger names"
        )
        verification.absorb(verify_calibration(layout.calibrations / name, ledger=custody, trust=trust), identifier)
    unknown = sorted((folders | others) - explained)
    verification.record(
        "W7", "nothing lies among the calibrations that the ledger does not know", not unknown, some_of(unknown)
    )


def _name_here(layout: WorkspaceLayout, entries: list[LedgerEntry]) -> str | None:
    """What the folder is called among the workspace's calibrations; None where it lies elsewhere or was never begun."""
    told = next((entry for entry in entries if entry.event in (REGISTERED, COMPLETED)), None)
    if told is None:
        return None
    place = told_place(told.data.get("folder"))
    return place.name if lies_in(layout.calibrations, place) else None
