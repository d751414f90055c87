"""What the reports of a validation and of a calibration have in common: their record, and sections about the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.platypus import Flowable

from forensic.errors import BadInput, VerificationFailed
from forensic.hashes import canonical_json, sha256_bytes
from forensic.report.blocks import Content, bullets, facts, notice, paragraph
from forensic.report.sections.summary import PROTECTED, sentences_on
from forensic.report.typeset import bold, mono
from forensic.report.values import at, flatten, items, label, spoken
from forensic.signing.statement import Statement, verify_statement


class FiledRecord:
    """Predicate and attestation, known to belong together: the record as its report reads it, and no other.

    ``kind``: the predicate type that it must have. Raises ``BadInput`` (``report.schema``) for another kind of record,
    ``VerificationFailed`` (``report.record-changed``) if the predicate is not the one that was signed, and what
    ``verify_statement`` raises.
    """

    def __init__(self, predicate: Mapping[str, Any], attestation: bytes, kind: str, what: str) -> None:
        if at(predicate, "schema") != kind:
            raise BadInput("report.schema", f"The record's schema is not {kind}.")
        statement, _ = verify_statement(attestation, predicate_type=kind)
        if canonical_json(statement.predicate) != canonical_json(dict(predicate)):
            raise VerificationFailed(
                "report.record-changed",
                "The record to be reported is not the one in the signed attestation.",
                f"Use the attestation.json of this {what}, unchanged.",
            )
        self.statement: Statement = statement
        self.predicate = statement.predicate
        self.attestation_sha256 = sha256_bytes(attestation)

    def get(self, *path: str) -> Any:
        """Value at ``path``, None where it is missing."""
        return at(self.predicate, *path)

    def listed(self, *path: str) -> list[Any]:
        """List at ``path``, empty where it is missing."""
        return items(self.get(*path))


def environment(record: FiledRecord) -> list[Flowable]:
    """Program, packages and machine."""
    facts_of = record.get("environment")
    rows: list[tuple[str, Content]] = []
    for key, value in facts_of.items() if isinstance(facts_of, Mapping) else []:
        if isinstance(value, Mapping):
            told = "; ".join(f"{name} {short(text)}" for name, text in flatten(value, name=str))
            rows.append((label(str(key)), told or spoken(None)))
        else:
            rows.append((label(str(key)), spoken(value)))
    return [facts(rows, 0.2)]


def short(text: str) -> str:
    """Long lists (of processor features, of configuration) by their beginning; the attached record has them whole."""
    return text if len(text) <= 120 else f"{text[:60]}… (whole in attestation.json)"


def defaults(record: FiledRecord) -> list[Flowable]:
    """What nobody stated, and what was warned of."""
    stated, warned = ([spoken(one) for one in record.listed(key)] for key in ("defaults", "warnings"))
    story: list[Flowable] = [*bullets(stated)] if stated else [paragraph("No value was defaulted.")]
    return [*story, notice("Warning", warned, "caution")] if warned else story


def who_signs(record: FiledRecord) -> Flowable:
    """The signer's certificate, and what its key is worth."""
    identity = record.get("examiner", "identity")
    signer: list[Content] = [
        ["Certificate of ", bold(spoken(at(identity, "subject"))), ", SHA-256 ",
         mono(spoken(at(identity, "certificate_sha256")))],
        *sentences_on(identity),
    ]  # fmt: skip
    tone = "note" if at(identity, "protection") in PROTECTED else "caution"
    return notice("Who signs", signer, tone)
