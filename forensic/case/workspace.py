"""A workspace: a folder of the user's choice with ledger, identity, exhibits and runs."""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensic import __version__
from forensic.case.layout import WorkspaceLayout
from forensic.case.recovery import recover
from forensic.case.storage import make_folder, storage, storage_error
from forensic.errors import UsageError, VerificationFailed
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity, create_identity, load_identity

PassphraseSource = Callable[[], str]

UNPROTECTED = (
    "This workspace's identity is self-issued and its key is not protected by a passphrase: "
    "the signature shows that the record is unchanged since it was signed with this key, not who signed."
)


def utc_now() -> datetime:
    """The system clock, in UTC."""
    return datetime.now(UTC)


def utc_text(moment: datetime) -> str:
    """ISO 8601 with seconds and Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Workspace:
    """An open workspace. ``identity`` is None where it was opened for reading only."""

    layout: WorkspaceLayout
    ledger: Ledger
    identity: Identity | None
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """UUID given at creation."""
        return str(self.facts["workspace"])

    @property
    def signer(self) -> Identity:
        """The identity, for work that must sign."""
        if self.identity is None:
            raise UsageError("workspace.read-only", "This workspace was opened for reading only.")
        return self.identity

    def close(self) -> None:
        """Release the ledger."""
        self.ledger.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def default_examiner() -> str:
    """The account's name, used (and recorded as a default) where no examiner was named."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def create_workspace(
    root: Path, *, examiner: str | None, lab: str | None, passphrase: str | None, origin: str
) -> Workspace:
    """Create folder, identity and ledger; the first entry introduces the identity.

    ``origin`` says who asked (``forensic init`` or one-command use). Raises ``UsageError``
    (``workspace.exists``) if there already is a ledger.
    """
    layout = WorkspaceLayout(root.absolute())
    if layout.ledger.exists():
        raise UsageError("workspace.exists", f"{root} already is a workspace.", "Use it, or choose another with -w.")
    _refuse_orphans(layout)
    defaults = []
    if not examiner:
        examiner = default_examiner()
        defaults.append(f"examiner: not named, the account name {examiner!r} is used")
    if not lab:
        lab = "unnamed laboratory"
        defaults.append("laboratory: not named")
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            "workspace.not-a-folder", f"{root} cannot be a folder: a file is in the way.", "Choose another with -w."
        ) from error
    except OSError as error:
        raise storage_error(error, layout.root, "creating") from error
    identity = _identity_for(layout, examiner, lab, passphrase)
    for folder in (layout.exhibits, layout.runs):
        make_folder(folder)
    facts = {
        "workspace": str(uuid.uuid4()),
        "examiner": examiner,
        "lab": lab,
        "origin": origin,
        "tool": {"name": "forensic", "version": __version__},
        "defaults": defaults,
    }
    return Workspace(layout, Ledger.create(layout.ledger, identity, facts), identity, facts)


def _refuse_orphans(layout: WorkspaceLayout) -> None:
    """A workspace whose ledger is gone is not begun anew: that would bury its history."""
    left = [
        folder.name
        for folder in (layout.exhibits, layout.runs)
        if folder.is_dir() and any(path for path in folder.iterdir() if not path.name.startswith("."))
    ]
    if left:
        raise VerificationFailed(
            "workspace.ledger-missing",
            f"{layout.root} holds {' and '.join(left)} but no ledger: its history is gone.",
            "Restore ledger.sqlite from a copy, or work in another folder with -w. Nothing was changed.",
        )


def _identity_for(layout: WorkspaceLayout, examiner: str, lab: str, passphrase: str | None) -> Identity:
    """A new identity; one that a crash left behind before its ledger was made is set aside, not reused."""
    if layout.identity.exists() and any(layout.identity.iterdir()):
        number = 1
        while (aside := layout.identity.with_name(f"identity-unused-{number}")).exists():
            number += 1
        with storage(layout.identity, "setting aside"):
            layout.identity.rename(aside)
    try:
        return create_identity(layout.identity, examiner=examiner, lab=lab, passphrase=passphrase, now=utc_now())
    except OSError as error:
        raise storage_error(error, layout.identity, "writing the identity to") from error


def open_workspace(root: Path, passphrase: PassphraseSource | None) -> Workspace:
    """Open an existing workspace; with ``passphrase`` None for reading only.

    Raises ``UsageError`` (``workspace.missing``) if there is none, ``VerificationFailed`` if its
    ledger is broken.
    """
    layout = WorkspaceLayout(root.absolute())
    if not layout.ledger.is_file():
        raise UsageError("workspace.missing", f"{root} is not a workspace.", "Create one with: forensic init -w DIR")
    identity = None if passphrase is None else load_identity(layout.identity, passphrase)
    ledger = Ledger.open(layout.ledger, identity)
    first = next(iter(ledger.entries(event="workspace.created")), None)
    if first is None:
        ledger.close()
        raise VerificationFailed("workspace.broken", "The ledger does not begin with the creation of a workspace.")
    if identity is not None:
        try:
            recover(layout, ledger)
        except BaseException:
            ledger.close()
            raise
    return Workspace(layout, ledger, identity, dict(first.data))
