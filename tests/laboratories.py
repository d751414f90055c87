"""Small real workspaces for tests about anchoring: made, forked, and sending each other checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from forensic.case.anchors import IssuedCheckpoint, issue_checkpoint
from forensic.case.logkeys import introduced
from forensic.case.lognames import LOG
from forensic.case.verification.checks import Verification
from forensic.case.verification.trust import Trust
from forensic.case.verification.workspaces import verify_workspace
from forensic.case.witnessing import cosign_request, import_cosignatures, witness_key, witness_request
from forensic.case.workspace import Workspace, create_workspace, open_workspace
from forensic.ledger.entry import LedgerEntry
from forensic.signing.note import VerifierKey, parse_vkey


@dataclass(frozen=True)
class Laboratory:
    """A workspace and what people do with it, without a terminal."""

    root: Path

    @classmethod
    def found(cls, root: Path, passphrase: str | None = None) -> Laboratory:
        """Create the workspace."""
        create_workspace(root, examiner="Ada Examiner", lab=root.name, passphrase=passphrase, origin="test").close()
        return cls(root)

    def fork(self, root: Path) -> Laboratory:
        """What an insider has who kept a copy of everything, keys included, and goes on from there."""
        shutil.copytree(self.root, root)
        return Laboratory(root)

    def open(self, passphrase: str = "") -> Workspace:
        """Open it for work."""
        return open_workspace(self.root, lambda: passphrase)

    def work(self, *remarks: str) -> Laboratory:
        """Append entries that say something."""
        with self.open() as workspace:
            for remark in remarks:
                workspace.ledger.append("remark.made", {"text": remark})
        return self

    def checkpoint(self) -> IssuedCheckpoint:
        """Issue one, or the last again."""
        with self.open() as workspace:
            return issue_checkpoint(workspace)

    def request(self, *, old: int | None = None, witness: str | None = None) -> bytes:
        """The request for a witness."""
        key = None if witness is None else parse_vkey(witness)
        with self.open() as workspace:
            return witness_request(workspace, issue_checkpoint(workspace), witness=key, old=old).to_bytes()

    def log_key(self) -> str:
        """The log's verifier key."""
        with self.open() as workspace:
            issue_checkpoint(workspace)
            return str(introduced(workspace.ledger, LOG)[-1])

    def witness_key(self) -> str:
        """The witness's verifier key."""
        with self.open() as workspace:
            return str(witness_key(workspace))

    def cosign(self, request: bytes, log_key: str | None = None) -> bytes:
        """Act as a witness; the answer."""
        key: VerifierKey | None = None if log_key is None else parse_vkey(log_key)
        with self.open() as workspace:
            return cosign_request(workspace, request, log_key=key).line.encode()

    def take(self, answer: bytes, witness: str | None) -> None:
        """Take a witness's answer in."""
        with self.open() as workspace:
            import_cosignatures(workspace, answer, None if witness is None else parse_vkey(witness))

    def witnessed_by(self, witness: Laboratory) -> Laboratory:
        """Have the present state cosigned."""
        vkey = witness.witness_key()
        self.take(witness.cosign(self.request(witness=vkey), self.log_key()), vkey)
        return self

    def entries(self, event: str) -> list[LedgerEntry]:
        """The entries of one kind."""
        with open_workspace(self.root, None) as workspace:
            return list(workspace.ledger.entries(event=event))

    def verify(self, **trust: object) -> Verification:
        """Verify the workspace with what the verifier trusts."""
        return verify_workspace(self.root, trust=Trust(**trust))  # type: ignore[arg-type]

    def failed(self, **trust: object) -> set[str]:
        """Numbers of the checks that fail."""
        return {check.number for check in self.verify(**trust).checks if not check.passed}
