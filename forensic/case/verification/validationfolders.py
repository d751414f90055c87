"""W4 and W5: the validations of a workspace are where its ledger says, and nothing lies among them besides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from forensic.case.earlier import COMPLETED, COURSE, REFUSED, REGISTERED
from forensic.case.layout import INCOMPLETE, MANIFEST, REPORT, RESULT, SUITE, ValidationFolder, WorkspaceLayout
from forensic.case.regularfile import digest_regular
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import Custody
from forensic.case.verification.listing import entries_of, lies_in, some_of, told_place
from forensic.case.verification.records import at
from forensic.case.verification.trust import Trust
from forensic.case.verification.validations import verify_validation
from forensic.ledger.entry import LedgerEntry

_UNREADABLE = "unreadable: "  # as digest_regular begins for what has no digest


def check_validation_folders(
    verification: Verification, layout: WorkspaceLayout, custody: Custody, say: Callable[[str], None], trust: Trust
) -> None:
    """W4 and the checks of every completed validation; W5: the ledger knows every folder among the validations."""
    folders, others = entries_of(layout.validations)
    explained: set[str] = set()
    strange: list[str] = []
    for identifier, entries in sorted(custody.validations.items()):
        completed = [entry for entry in entries if entry.event == COMPLETED]
        if completed:
            name = _name_here(layout, entries[0], completed[-1], folders)
            if name is None:
                place = completed[-1].data.get("folder")
                verification.not_checked.append(f"validation {identifier}: its folder {place} lies elsewhere")
                continue
            say(f"validation {identifier}")
            explained |= _check_completed(verification, layout, custody, completed[-1], (identifier, name), trust)
            continue
        left, ended = _name_left(layout, identifier, entries), _course(entries)[-1].event
        if left is None or left not in folders:
            verification.not_checked.append(f"validation {identifier}: {ended}, not completed")
            continue
        faults = _left_faults(ValidationFolder(layout.validations / left), entries)
        strange += [f"{left}/{fault}" for fault in faults]
        explained.add(left)
        note = f"validations/{left}: left by a validation with end {ended}, not evidence"
        verification.not_checked.append(note)
    unknown = sorted((folders | others) - explained) + strange
    verification.record("W5", "nothing lies among the validations that the ledger does not know", not unknown,
                        some_of(unknown))  # fmt: skip


def _check_completed(
    verification: Verification,
    layout: WorkspaceLayout,
    custody: Custody,
    completed: LedgerEntry,
    called: tuple[str, str],
    trust: Trust,
) -> set[str]:
    """W4 and the checks of the folder; returns its name, or nothing where there is none."""
    identifier, final = called
    folders, _ = entries_of(layout.validations)
    # The ledger's entry is written before the rename: after a power cut only the old name may be there.
    name = next((name for name in (final, f"{final}{INCOMPLETE}") if name in folders), None)
    if name is None:
        reason = "the ledger says completed, the folder is gone or is no folder"
        verification.record("W4", f"validation {identifier} is there", False, reason)
        return set()
    named = _is_that_of(layout.validations / name, completed)
    verification.record("W4", f"validation {identifier} is there", named, "" if named else
                        "the record in its folder is not the one that the ledger names")  # fmt: skip
    verification.absorb(verify_validation(layout.validations / name, ledger=custody, trust=trust), identifier)
    return {name}


def _is_that_of(folder: Path, completed: LedgerEntry) -> bool:
    return digest_regular(ValidationFolder(folder).attestation) == completed.data.get("attestation_sha256")


def _course(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.event in COURSE] or entries


def _name_here(layout: WorkspaceLayout, first: LedgerEntry, completed: LedgerEntry, folders: set[str]) -> str | None:
    """What the folder of a completed validation is called among the workspace's; None where it lies elsewhere.

    Entries of early 0.3.0, whose registration names no folder, name absolutely what lay in the workspace too; the
    workspace may have moved since.
    """
    place = told_place(completed.data.get("folder"))
    if lies_in(layout.validations, place):
        return place.name
    if "folder" in first.data or place.parent.name != layout.validations.name:
        return None
    if place.name == completed.data.get("validation"):
        return place.name  # nobody can have named it so beforehand: it was made where no other place was asked for
    return place.name if place.name in folders and _is_that_of(layout.validations / place.name, completed) else None


def _name_left(layout: WorkspaceLayout, identifier: str, entries: list[LedgerEntry]) -> str | None:
    """What a validation that was not completed may have left here is called; None where it left nothing here."""
    first, last = entries[0], _course(entries)[-1]
    if last.event == REFUSED:
        return None
    if "folder" in first.data and not lies_in(layout.validations, told_place(first.data["folder"])):
        return None
    if last.event == REGISTERED:  # killed: what it left is named by nobody since
        return f"{told_place(first.data.get('folder', identifier)).name}{INCOMPLETE}"
    name = last.data.get("incomplete_folder")
    return name if isinstance(name, str) else None


def _left_faults(folder: ValidationFolder, entries: list[LedgerEntry]) -> list[str]:
    """Files of a folder that was left which the entries on its validation do not explain.

    After a kill no entry says anything of them. Else there are the measurements, with the digest in the entry on the
    end, the registered suite and master, and what could not be removed then.
    """
    first, last = entries[0], _course(entries)[-1]
    if last.event == REGISTERED:
        return []
    recorded = {
        RESULT: last.data.get("result"),
        SUITE: first.data.get("suite_sha256"),
        folder.name(folder.master): at(first.data, "master", "sha256"),
    }
    found = {folder.name(path): digest_regular(path) for path in folder.files()}
    found.setdefault(RESULT, digest_regular(folder.result))
    stuck = last.data.get("not_removed")
    known = {str(one).partition(":")[0] for one in (stuck if isinstance(stuck, list) else [])}
    known &= {MANIFEST, REPORT, folder.name(folder.attestation)}
    return [
        name for name, digest in sorted(found.items()) if name not in known and not _same(recorded.get(name), digest)
    ]


def _same(recorded: object, found: str) -> bool:
    """Equal digests, or none in both cases: why a file cannot be read is worded otherwise elsewhere."""
    return isinstance(recorded, str) and (
        recorded == found or (recorded.startswith(_UNREADABLE) and found.startswith(_UNREADABLE))
    )
