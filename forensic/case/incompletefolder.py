"""Folders that validations and calibrations fill as ``….incomplete``, until an entry of the ledger makes them final."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from forensic.case.ending import Terminated
from forensic.case.layout import ATTESTATION, INCOMPLETE
from forensic.case.regularfile import digest_regular
from forensic.case.storage import storage, sync_folder
from forensic.errors import Interrupted, StorageFailed, UsageError
from forensic.ledger.entry import LedgerEntry


def incomplete(final: Path) -> Path:
    """The folder that is to become ``final``."""
    return final.with_name(f"{final.name}{INCOMPLETE}")


def settle_folder(final: Path, what: str) -> None:
    """Give the folder of a completed ``what`` (``validation``, ``calibration``) its name.

    Raises ``UsageError`` (``….exists``) where something of that name has come there meanwhile, be it an empty folder,
    which a rename would replace without a word; else ``StorageFailed``.
    """
    begun = incomplete(final)
    if os.path.lexists(final):
        raise UsageError(
            f"{what}.exists", f"{final} exists: the completed {what} stays in {begun.name}.",
            f"Move what is in its place away; the next {what} here gives the folder its name.",
        )  # fmt: skip
    with storage(final, f"moving the {what} to"):
        begun.rename(final)
        sync_folder(final.parent)


def complete_renames(completed: Iterable[LedgerEntry], named: Callable[[str], Path], what: str) -> None:
    """Give folders their final name that a kill left between their entry in ``completed`` and the rename.

    ``named``: the folder that an entry calls so.
    """
    for entry in completed:
        final = named(str(entry.data["folder"]))
        signed = digest_regular(incomplete(final) / ATTESTATION)
        if not os.path.lexists(final) and signed == entry.data["attestation_sha256"]:
            settle_folder(final, what)


def unsigned(final: Path, signed: Iterable[Path]) -> dict[str, Any]:
    """What the entry on a bad end says of the folder that is left: what was measured stays, the ``signed`` files go.

    A killed process leaves both; ``forensic verify`` accepts no folder called incomplete that no ledger completes.
    """
    removed, stuck = [], []
    for path in signed:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck.append(f"{path.name}: {error.strerror}")
        else:
            removed.append(path.name)
    left: dict[str, Any] = {"incomplete_folder": incomplete(final).name, "removed": removed}
    return {**left, "not_removed": stuck} if stuck else left


def by_user(error: BaseException) -> bool:
    """Whether a person stopped it; runs and acquisitions within it word that as their own cancellation."""
    if isinstance(error, Interrupted):
        return error.code.endswith(".cancelled")
    return isinstance(error, KeyboardInterrupt) and not isinstance(error, Terminated)


def ended(error: BaseException, what: str, identifier: str) -> BaseException:
    """What the caller is told: what is said of runs within it, which are gone with it, would mislead."""
    again = "Give the same command again."
    if isinstance(error, StorageFailed):
        return StorageFailed(error.code, error.message, f"Once the cause is gone: {again[0].lower()}{again[1:]}")
    if isinstance(error, KeyboardInterrupt | Interrupted):
        how, end = ("cancelled", "cancelled") if by_user(error) else ("broken off", "failed")
        message = f"{what.capitalize()} {identifier} was {how}; that is on the record."
        return Interrupted(f"{what}.{end}", message, again)
    return error
