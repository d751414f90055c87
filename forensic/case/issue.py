"""The signed report of a run folder: with a timestamp, and what makes it last, where these can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from forensic.case.attest import Attestation
from forensic.case.layout import RunFolder
from forensic.case.settings import timestamp_authority, timestamp_lists
from forensic.case.storage import write_file
from forensic.case.timestamping import FAILED, RECEIVED
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError
from forensic.hashes import sha256_bytes
from forensic.report.document import build_pdf
from forensic.report.signature import add_document_timestamp, add_validation_data, sign_pdf
from forensic.signing.chain import revocation_list_pem
from forensic.signing.tsa import TimestampAuthority
from forensic.signing.validationdata import ValidationData, gather

_REASON = "Record of an enhancement run"


def issue_report(
    workspace: Workspace,
    folder: RunFolder,
    attestation: Attestation,
    when: datetime,
    target: Path,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """Typeset and sign the report of the run in ``folder`` as ``target``; return its SHA-256.

    It is made and signed in memory; ``target`` is there whole or not at all. Where a timestamp authority is
    configured its token goes in (B-T), and with revocation data certificates, lists and a second token (B-LT,
    B-LTA). An authority that cannot be used costs nothing but the level: ``timestamp.failed`` in the ledger, and
    ``forensic anchor`` asks again.
    """
    unsigned = build_pdf(attestation.predicate, folder.root, attestation.data)
    return issue_signed(workspace, unsigned, _about(attestation), _REASON, when, target, say)


def issue_signed(
    workspace: Workspace,
    unsigned: bytes,
    about: dict[str, str],
    reason: str,
    when: datetime,
    target: Path,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """Sign the typeset PDF ``unsigned`` for ``reason`` as ``target``, timestamps as for every report; its SHA-256.

    ``about``: what the ledger's entries on its timestamps name (case, exhibit, run); empty for a report on none.
    """
    stamping = _Stamping(workspace, about, reason, say)
    report = stamping.prolong(stamping.sign(unsigned, when))
    write_file(target, report)
    digest = sha256_bytes(report)
    stamping.record(digest)
    return digest


def _about(attestation: Attestation) -> dict[str, str]:
    record = attestation.predicate
    return {"case": record["case"]["id"], "exhibit": record["exhibit"]["id"], "run": record["run"]["id"]}


@dataclass
class _Stamping:
    """One report on its way from level to level; what the authority gave or refused goes into the ledger."""

    workspace: Workspace
    about: dict[str, str]
    reason: str
    say: Callable[[str], None]
    level: str = "B-B"
    long_term: str = "no timestamp authority was configured or reached"
    token: bytes | None = None
    received: list[dict[str, Any]] = field(default_factory=list)

    def sign(self, unsigned: bytes, when: datetime) -> bytes:
        """The report signed: B-T, or B-B without an authority that answers."""
        signer = self.workspace.signer
        options: dict[str, Any] = {"reason": self.reason, "when": when, "chain": signer.chain_pem}
        with self._recorded("report signature"):
            authority = timestamp_authority(self.workspace.layout)
            if authority is not None:
                signed = sign_pdf(unsigned, signer, stamp=self._stamp(authority, "report signature"), **options)
                self.level = "B-T"
                return signed
        return sign_pdf(unsigned, signer, **options)

    def prolong(self, signed: bytes) -> bytes:
        """B-LT and B-LTA, as far as data and authority allow; ``signed`` as it is where they do not."""
        if self.level != "B-T":
            return signed
        with self._recorded("report document"):
            authority = timestamp_authority(self.workspace.layout)
            data = None if authority is None else self._validation_data(authority)
            if authority is None or data is None:
                return signed
            signed = add_validation_data(signed, data)
            self.level = "B-LT"
            signed = add_document_timestamp(signed, self._stamp(authority, "report document"))
            self.level = "B-LTA"
        return signed

    def _validation_data(self, authority: TimestampAuthority) -> ValidationData | None:
        signer = self.workspace.signer
        lists = [revocation_list_pem(each).encode("ascii") for each in self.workspace.identities.lists]
        roots = () if authority.roots is None else authority.roots.certificates
        try:
            data = gather(
                signer.certificate_pem,
                signer.chain_pem,
                self.token or b"",
                [*lists, *timestamp_lists(self.workspace.layout)],
                roots,
            )
        except ForensicError as error:  # a list that cannot be read, or data that do not suffice
            self.long_term = error.message
            return None
        self.long_term = ""
        return data

    def _stamp(self, authority: TimestampAuthority, what: str) -> Any:
        def stamp(digest: bytes) -> bytes:
            accepted = authority.stamp(digest)
            self.token = self.token or accepted.token
            self.received.append(
                {
                    "of": what,
                    "sha256": digest.hex(),
                    "token_sha256": sha256_bytes(accepted.token),
                    **accepted.timestamp.facts(),
                    "url": authority.url,
                    "left_out": list(accepted.left_out),
                }
            )
            return accepted.token

        return stamp

    @contextmanager
    def _recorded(self, what: str) -> Iterator[None]:
        """Whatever is wrong with authority or settings is recorded and lowers the level, no more."""
        try:
            yield
        except ForensicError as error:
            if error.code.partition(".")[0] not in ("timestamp", "settings"):
                raise
            self.long_term = error.message
            data = {"of": what, "code": error.code, "reason": error.message}
            self.workspace.ledger.append(FAILED, data, **self.about)
            self.say(f"Warning: the report gets no timestamp now. {error.message} {error.remedy}".rstrip())

    def record(self, report_sha256: str) -> None:
        """An entry for each token that went into the report."""
        if self.level != "B-B":
            lacks = f" (not more: {self.long_term})" if self.long_term else ""
            self.say(f"Report signed with timestamp {self.received[0]['utc']}, PAdES {self.level}{lacks}")
        kept = {"B-B": 0, "B-T": 1, "B-LT": 1, "B-LTA": 2}[self.level]
        for facts in self.received[:kept]:
            data = {**facts, "report_sha256": report_sha256, "level": self.level, "long_term": self.long_term or None}
            self.workspace.ledger.append(RECEIVED, data, **self.about)
