"""A workspace: a folder of the user's choice with ledger, identity, exhibits and runs."""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from forensic import __version__
from forensic.case.identities import EXAMINER, NEXT, RETIRED, IdentityRegister, KnownIdentity, folder_name
from forensic.case.layout import WorkspaceLayout
from forensic.case.recovery import recover
from forensic.case.storage import make_folder, storage, storage_error
from forensic.errors import UsageError, VerificationFailed
from forensic.ledger.store import Ledger
from forensic.signing.identity import (
    Identity,
    create_identity,
    create_token_identity,
    install_certificate,
    load_identity,
)
from forensic.signing.token import TokenPlace

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
    """An open workspace. ``identity`` is None where it was opened for reading only.

    ``passphrase`` gives again what opened the identity, for the log's keys that are protected by the same.
    """

    layout: WorkspaceLayout
    ledger: Ledger
    identity: Identity | None
    facts: dict[str, Any]
    passphrase: PassphraseSource | None = None

    @property
    def id(self) -> str:
        """UUID given at creation."""
        return str(self.facts["workspace"])

    @property
    def identities(self) -> IdentityRegister:
        """Who may sign here, and the laboratory's authority, as the ledger says now."""
        return IdentityRegister.of(self.ledger)

    @property
    def actor(self) -> KnownIdentity:
        """Whoever's key the workspace was opened with, as the ledger knows it."""
        return self.identities.known[self.signer.key_id]

    @property
    def signer(self) -> Identity:
        """The identity, for work that must sign."""
        if self.identity is None:
            raise UsageError("workspace.read-only", "This workspace was opened for reading only.")
        return self.identity

    def signing_facts(self) -> dict[str, Any]:
        """``workspace`` and ``examiner`` of a record that is signed now: the ledger's head, who signs, who vouches."""
        identity, actor, head = self.signer.facts(), self.actor, self.ledger.head()
        return {
            "workspace": {"id": self.id, "ledger_head": {"seq": head.seq, "hash": head.hash}},
            "examiner": {
                "name": actor.name,
                "lab": self.facts["lab"],
                "role": actor.role,
                "identity": {**identity, "chain": self.signer.chain_pem, **self.identities.vouching(actor)},
            },
        }

    @property
    def warnings(self) -> list[str]:
        """What a record that is signed here warns of."""
        return [UNPROTECTED] if self.signer.facts()["protection"] == "none" else []

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
    root: Path,
    *,
    examiner: str | None,
    lab: str | None,
    passphrase: str | None,
    origin: str,
    token: TokenPlace | None = None,
) -> Workspace:
    """Create folder, identity and ledger; the first entry introduces the identity.

    ``origin`` says who asked (``forensic init`` or one-command use). ``token``: where the key lies
    already, ``passphrase`` then being the PIN. Raises ``UsageError`` (``workspace.exists``) if there
    already is a ledger.
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
    identity = _identity_for(layout, examiner, lab, passphrase, token)
    for folder in (layout.exhibits, layout.runs):
        make_folder(folder)
    facts = {
        "workspace": str(uuid.uuid4()),
        "examiner": examiner,
        "lab": lab,
        "role": EXAMINER,
        "origin": origin,
        "tool": {"name": "forensic", "version": __version__},
        "defaults": defaults,
    }
    ledger = Ledger.create(layout.ledger, identity, facts)
    return Workspace(layout, ledger, identity, facts, None if passphrase is None else lambda: passphrase)


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


def _identity_for(
    layout: WorkspaceLayout, examiner: str, lab: str, passphrase: str | None, token: TokenPlace | None
) -> Identity:
    """A new identity; one that a crash left behind before its ledger was made is set aside, not reused."""
    if layout.identity.exists() and any(layout.identity.iterdir()):
        number = 1
        while (aside := layout.identity.with_name(f"identity-unused-{number}")).exists():
            number += 1
        with storage(layout.identity, "setting aside"):
            layout.identity.rename(aside)
    names = {"examiner": examiner, "lab": lab}
    try:
        if token is not None:
            return create_token_identity(layout.identity, token, passphrase or "", **names, now=utc_now())
        return create_identity(layout.identity, **names, passphrase=passphrase, now=utc_now())
    except OSError as error:
        raise storage_error(error, layout.identity, "writing the identity to") from error


def open_workspace(root: Path, passphrase: PassphraseSource | None, *, identity: str | None = None) -> Workspace:
    """Open an existing workspace; with ``passphrase`` None for reading only.

    ``identity``: name of the further identity to work as; None for the examiner's. Raises ``UsageError``
    (``workspace.missing``, ``identity.unknown``) if there is none, ``VerificationFailed`` if its ledger is broken.
    """
    layout = WorkspaceLayout(root.absolute())
    if not layout.ledger.is_file():
        raise UsageError("workspace.missing", f"{root} is not a workspace.", "Create one with: forensic init -w DIR")
    remembered = None if passphrase is None else cache(passphrase)  # a person or a pipe is asked once
    signer = None
    if remembered is not None:
        complete_exchange(layout)
        signer = load_identity(identity_folder(layout, identity), remembered)
    ledger = Ledger.open(layout.ledger, signer)
    first = next(iter(ledger.entries(event="workspace.created")), None)
    if first is None:
        ledger.close()
        raise VerificationFailed("workspace.broken", "The ledger does not begin with the creation of a workspace.")
    opened = Workspace(layout, ledger, signer, dict(first.data), remembered)
    if signer is not None:
        try:
            recover(layout, ledger)
            _settle_identity(opened, identity_folder(layout, identity))
        except BaseException:
            ledger.close()
            raise
    return opened


def identity_folder(layout: WorkspaceLayout, name: str | None) -> Path:
    """Folder of the identity called ``name`` (None: the examiner's). Raises ``UsageError`` (``identity.unknown``)."""
    if name is None:
        return layout.identity
    folder = layout.further_identity(folder_name(name))
    if not folder.is_dir():
        raise UsageError("identity.unknown", f"This workspace has no identity {name!r}.", "See: forensic identity list")
    return folder


def complete_exchange(layout: WorkspaceLayout) -> None:
    """Finish what a kill left between the two renames of a rotation: the new identity takes its place."""
    following = layout.further_identity(NEXT)
    if following.is_dir() and not layout.identity.exists():
        with storage(layout.identity, "completing the rotation of"):
            following.rename(layout.identity)


def _settle_identity(workspace: Workspace, folder: Path) -> None:
    """Finish what a kill cut off: a certificate on the record and not in its file, a predecessor not retired."""
    signer, register = workspace.signer, workspace.identities
    actor = register.known[signer.key_id]
    if actor.certificate != signer.certificate:
        install_certificate(folder, actor.certificate, actor.chain, signer.signer.public_key)
        workspace.identity = Identity(signer.signer, actor.certificate, actor.chain)
    before = register.known.get(actor.replaces or "")
    if before is not None and before.state == "active":
        reason = f"replaced by key {actor.key_id}"
        workspace.ledger.append(RETIRED, {"key_id": before.key_id, "reason": reason})
