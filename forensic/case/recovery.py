"""What a kill or a power cut leaves behind: renames not made, acquisitions without an end, folders of no use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forensic.case.holding import held, is_abandoned, is_in_use, is_young
from forensic.case.layout import INCOMING, INCOMPLETE, SCRATCH, WORKING, ExhibitFolder, WorkspaceLayout
from forensic.case.storage import is_folder, is_regular, remove_tree, storage, sync_folder
from forensic.errors import StorageFailed
from forensic.hashes import sha256_file
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import ACQUIRED, STARTED, TERMINAL
from forensic.ledger.store import Ledger

ACQUISITION_STARTED = "acquisition.started"
ACQUISITION_FAILED = "acquisition.failed"
_ACQUISITION_ENDS = (ACQUIRED, "exhibit.presented-again", ACQUISITION_FAILED, "acquisition.cancelled")
_BROKEN_OFF = {
    "code": "acquisition.interrupted",
    "reason": "The process ended without a word while acquiring (killed, power lost); its files were removed.",
}


def settle_run(layout: WorkspaceLayout, run_id: str) -> None:
    """Give the folder of a run that the ledger knows as finished its final name; doing it twice is harmless."""
    incomplete, final = layout.incomplete_run(run_id).root, layout.run(run_id).root
    with storage(final, "moving the run to"):
        try:
            if not final.exists():
                incomplete.rename(final)
                sync_folder(final.parent)
        except FileNotFoundError:
            # Another process opened the workspace between entry and rename, and made it for us.
            if not final.exists():
                raise


def recover(layout: WorkspaceLayout, ledger: Ledger) -> None:
    """Put in order what a kill left: complete renames, record acquisitions that were broken off, remove the rest.

    A run folder is renamed only if its record is the one in the ledger; what a run left that can be resumed
    stays. Raises as ``settle_run``, and as ``Ledger.append`` unless the disk is full.
    """
    if layout.runs.is_dir():
        for folder in sorted(layout.runs.glob(f"*{INCOMPLETE}")):
            run_id = folder.name.removesuffix(INCOMPLETE)
            entry = next(iter(ledger.entries(event="run.finished", run=run_id)), None)
            if entry is None or not is_folder(folder):
                continue
            record = layout.incomplete_run(run_id).attestation
            if record.is_file() and sha256_file(record) == entry.data.get("attestation_sha256"):
                settle_run(layout, run_id)
    for folder in layout.root.glob(f"{SCRATCH}*"):
        if is_folder(folder) and is_abandoned(folder):
            remove_tree(folder)
    for folder in sorted(layout.root.glob(f"{WORKING}*")):
        if is_folder(folder) and not is_in_use(folder):
            with held(folder) as ours:  # of several processes that open the workspace one does it
                if ours:
                    _settle_working(layout, ledger, folder.name.removeprefix(WORKING))
    for folder in layout.exhibits.glob(f"{INCOMING}*"):
        # Of a program that held no working folder, or of one whose working folder was taken away.
        held_by_nobody = not layout.working(folder.name.removeprefix(INCOMING)).root.exists()
        if is_folder(folder) and held_by_nobody and not is_young(folder):
            remove_tree(folder)


def _settle_working(layout: WorkspaceLayout, ledger: Ledger, name: str) -> None:
    """Remove the working folder ``name``, which we hold, if nothing in it is needed; record what it stands for."""
    folder = layout.working(name).root
    states = [entry.event for entry in ledger.entries(run=name)]
    if STARTED in states:
        if not TERMINAL.isdisjoint(states):
            remove_tree(folder)
        return
    begun = [entry for entry in ledger.entries(event=ACQUISITION_STARTED) if entry.data.get("attempt") == name]
    if not begun:
        if not is_young(folder):  # else of a run or acquisition that is about to begin
            remove_tree(folder)
        return
    incoming = layout.incoming(name)
    if not _has_ended(ledger, begun[0]):
        data = {key: value for key, value in begun[0].data.items() if key in ("path", "note", "defaults", "attempt")}
        found = {"sha256": digest} if (digest := _digest_of(incoming)) is not None else {}
        where = {"case": begun[0].case, "exhibit": begun[0].exhibit}
        try:
            ledger.append(ACQUISITION_FAILED, {**data, "started": begun[0].seq, **found, **_BROKEN_OFF}, **where)
        except StorageFailed:
            return  # disk full: at the next opening
    remove_tree(incoming.root)
    remove_tree(folder)


def _has_ended(ledger: Ledger, begun: LedgerEntry) -> bool:
    return any(
        entry.data.get("started") == begun.seq for event in _ACQUISITION_ENDS for entry in ledger.entries(event=event)
    )


def _digest_of(incoming: ExhibitFolder) -> str | None:
    """SHA-256 of the copy that a broken-off acquisition had completed, so that the attempt counts for these bytes."""
    try:
        whole = [path for path in incoming.root.iterdir() if path.name.startswith("original") and is_regular(path)]
        return sha256_file(whole[0]) if len(whole) == 1 else None
    except OSError:
        return None


@contextmanager
def scratch_folder(layout: WorkspaceLayout) -> Iterator[Path]:
    """A folder for working files, outside the runs, held by a lock for as long as the block runs."""
    with storage(layout.root, "preparing"):
        folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=layout.root))
    try:
        with held(folder):
            yield folder
    finally:
        remove_tree(folder)
