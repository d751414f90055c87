"""The master result: a signed record of an earlier validation that later ones are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case.earlier import COMPLETED
from forensic.case.environment import platform_key
from forensic.case.layout import ValidationFolder
from forensic.case.regularfile import JSON_LIMIT, read_regular
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.signing.certificate import certificate_facts
from forensic.signing.statement import VALIDATION_PREDICATE, verify_statement
from forensic.validation.master import compare
from forensic.validation.suite import Suite


@dataclass(frozen=True)
class Master:
    """A master whose signature holds: bytes of its attestation, what it says, and where it is from."""

    data: bytes
    predicate: dict[str, Any]
    signer: dict[str, Any]
    source: str

    def to_record(self) -> dict[str, Any]:
        """JSON-able: which it is."""
        return {
            "source": self.source,
            "validation": self.predicate["validation"]["id"],
            "sha256": sha256_bytes(self.data),
            "tool": self.predicate["tool"]["version"],
            "finished_utc": self.predicate["validation"]["finished_utc"],
            "verdict": self.predicate["verdict"],
            "signer": {key: self.signer[key] for key in ("certificate_sha256", "subject")},
        }

    def compared(self, suite: Suite, present: dict[str, Any]) -> dict[str, Any]:
        """JSON-able comparison of the validation ``present`` with this one.

        Raises ``BadInput`` (``validation.master-form``) for a master that lacks what is compared.
        """
        try:
            platforms = (platform_key(self.predicate["environment"]), platform_key(present["environment"]))
            return compare(suite, self.predicate, present, platforms).to_record(self.to_record())
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise _malformed(error) from error


def read_master(path: Path, source: str) -> Master:
    """The signed record at ``path``.

    Raises ``UsageError`` (``validation.master-missing``), and for one that is not signed or not of a validation
    ``BadInput`` (also ``validation.master-form``) and ``VerificationFailed`` as ``verify_statement`` does.
    """
    try:
        data = read_regular(path, JSON_LIMIT)
    except OSError as error:
        raise UsageError(
            "validation.master-missing",
            f"The master {path} cannot be read: {error.strerror}.",
            "Name another with --master FILE, or make this validation the master with --new-master.",
        ) from error
    statement, verified = verify_statement(data, predicate_type=VALIDATION_PREDICATE)
    master = Master(data, statement.predicate, certificate_facts(verified.certificates[0]), source)
    try:
        master.to_record()
        platform_key(master.predicate["environment"])
        for part in ("suite", "pictures", "recordings", "outputs", "results"):  # told before anything is measured
            master.predicate[part]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed(error) from error
    return master


def _malformed(error: Exception) -> BadInput:
    return BadInput("validation.master-form", f"The master is not the record of a validation in this form: {error!r}.")


def master_of(workspace: Workspace, suite: Suite) -> Master | None:
    """The workspace's own master for exactly this suite; None where none was kept.

    Raises as :func:`read_master`, and ``VerificationFailed`` (``validation.master-changed``) for another file than the
    one that the ledger names.
    """
    kept = [
        entry for entry in workspace.ledger.entries(event=COMPLETED)
        if entry.data.get("master_here") and entry.data.get("suite_sha256") == suite.sha256
    ]  # fmt: skip
    if not kept:
        return None
    data = kept[-1].data
    path = ValidationFolder(workspace.layout.validation_named(data["folder"])).attestation
    master = read_master(path, f"this workspace, ledger entry {kept[-1].seq}")
    if sha256_bytes(master.data) != data["attestation_sha256"]:
        raise VerificationFailed(
            "validation.master-changed",
            f"{path} is not the master that the ledger names.",
            "Restore it from a copy, name one with --master FILE, or begin anew with --new-master.",
        )
    return master
