"""Check of a signed report: signature, coverage, permissions, attachment. Never raises on bad files.

Stricter than PDF allows: exactly one signature, nothing after it but validation data and a document
timestamp (``forensic.report.levels``), one canonical encoding of the signature value (so that no byte
of the file can change unnoticed), one attachment, no active content. Imports neither torch nor OpenCV
nor PyAV.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from forensic.report.cmsform import SignatureForm, canonical_cms
from forensic.report.levels import check_levels, whole_value
from forensic.signing.chain import Authorities
from forensic.signing.timestamp import NO_ROOTS, Timestamp

ATTACHMENT = "attestation.json"
# pyHanko logs tracebacks of its own about hostile files; our findings say it in words.
for _name in ("pyhanko", "pyhanko_certvalidator"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False

MAX_BYTES = 1 << 29
_CATALOG = {"/Type", "/Pages", "/Outlines", "/PageMode", "/Lang", "/Names", "/AcroForm", "/Perms", "/Extensions"}
_CATALOG |= {"/Version", "/PageLayout", "/ViewerPreferences", "/DSS"}
_ANNOTATIONS = {"/Link", "/Widget"}


@dataclass
class ReportCheck:
    """What was found. ``findings`` is empty for a sound report; each entry is a sentence.

    ``intact``: the covered bytes have the signed digest. ``valid``: the signature over that digest
    holds for the enclosed certificate. ``signing_time`` is the signer's claim. ``level``: PAdES baseline
    level. ``timestamp_findings`` are those of ``findings`` that are about timestamps or validation data.
    """

    signature_count: int = 0
    intact: bool = False
    valid: bool = False
    covers_whole_document: bool = False
    modification_level: str = "unknown"
    certified_no_changes: bool = False
    signer_subject: str | None = None
    signer_sha256: str | None = None
    signing_time: datetime | None = None
    attestation: bytes | None = None
    level: str = "B-B"
    signature_timestamp: Timestamp | None = None
    document_timestamp: Timestamp | None = None
    timestamp_findings: list[str] = field(default_factory=list)
    signature: bytes | None = None
    chain: tuple[bytes, ...] = ()
    findings: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing at all is wrong."""
        return not self.findings


def check_report(path: Path, roots: Authorities = NO_ROOTS) -> ReportCheck:
    """Check the signed PDF at ``path`` by the list in ``docs/formats/report.md``; ``roots``: trusted for timestamps."""
    check = ReportCheck()
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            check.findings.append("Not a regular file of at most 512 MiB.")
            return check
        data = path.read_bytes()
    except OSError as error:
        check.findings.append(f"The file cannot be read: {error.strerror or error}.")
        return check
    if not data.startswith(b"%PDF-"):
        check.findings.append("The file does not begin as a PDF.")
        return check
    try:
        _check(data, check, roots)
    except Exception as error:  # noqa: BLE001 - a hostile PDF can make a parser raise anything
        check.findings.append(f"The file cannot be read as a PDF of this kind: {_plain(error)}.")
    return check


def _plain(error: BaseException) -> str:
    text = " ".join(str(error).split())[:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _entry(dictionary: Any, key: str, default: Any = None) -> Any:
    """The value under ``key`` with references followed (pyHanko's own ``get`` does not follow them)."""
    try:
        return dictionary[key]
    except KeyError:
        return default


def _check(data: bytes, check: ReportCheck, roots: Authorities) -> None:
    from pyhanko.pdf_utils.decode_limits import DecodeLimits
    from pyhanko.pdf_utils.reader import PdfFileReader

    reader = PdfFileReader(io.BytesIO(data), strict=True, decode_limits=DecodeLimits.for_untrusted_input())
    if reader.encrypted:
        check.findings.append("The document is encrypted.")
        return
    signatures = list(reader.embedded_regular_signatures)
    check.signature_count = len(signatures)
    if not signatures:
        check.findings.append("The document is not signed.")
    elif len(signatures) > 1:
        check.findings.append(f"The document has {len(signatures)} signatures; a report has exactly one.")
    if signatures:
        try:
            _signature(reader, data, signatures[0], check, roots)
        except Exception as error:  # noqa: BLE001 - as above; the attachment is still looked at
            check.findings.append(f"The signature cannot be checked: {_plain(error)}.")
    _content(reader, check)
    _attachment(reader, check)


def _signature(reader: Any, data: bytes, signature: Any, check: ReportCheck, roots: Authorities) -> None:
    from pyhanko.sign.fields import MDPPerm
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    certificate = signature.signer_cert
    check.signer_subject = _subject(certificate.dump())
    check.signer_sha256 = certificate.sha256.hex()
    check.signing_time = signature.self_reported_timestamp
    form = _value(data, signature, check)
    status = validate_pdf_signature(
        signature,
        signer_validation_context=ValidationContext(trust_roots=[certificate, *_stamping(form)], allow_fetching=False),
    )
    check.intact, check.valid = bool(status.intact), bool(status.valid)
    if not check.intact:
        check.findings.append("The document was changed after it was signed: the signed digest does not match.")
    if not check.valid:
        check.findings.append("The signature does not hold for the enclosed certificate.")
    certified = _entry(_entry(reader.root, "/Perms", {}), "/DocMDP") is signature.sig_object
    check.certified_no_changes = certified and signature.docmdp_level is MDPPerm.NO_CHANGES
    if not check.certified_no_changes:
        check.findings.append("The signature does not certify the document with “no changes allowed”.")
    if _entry(signature.sig_object, "/SubFilter") != "/ETSI.CAdES.detached":
        check.findings.append("The signature is not of the PAdES kind (ETSI.CAdES.detached).")
    _algorithm(certificate, signature, check)
    _usage(certificate, check)
    if form is not None:
        _levels(reader, data, signature, form, check, roots)
    _coverage(status, check)
    _validity(certificate, check)


def _stamping(form: SignatureForm | None) -> list[Any]:
    """The certificates of the signature's timestamp: given as known, so that pyHanko does not search for a path.

    Whether the timestamp holds and whom it leads to is checked in ``forensic.report.levels``.
    """
    from asn1crypto import cms

    if form is None or form.token is None:
        return []
    return [choice.chosen for choice in cms.ContentInfo.load(form.token)["content"]["certificates"]]


def _levels(
    reader: Any, data: bytes, signature: Any, form: SignatureForm, check: ReportCheck, roots: Authorities
) -> None:
    end = int(signature.byte_range[2]) + int(signature.byte_range[3])
    levels = check_levels(reader, data, form, end, roots)
    check.level = levels.level
    check.signature_timestamp, check.document_timestamp = levels.signature_timestamp, levels.document_timestamp
    check.signature, check.chain = form.signature, form.certificates
    check.timestamp_findings = levels.findings
    check.findings += levels.findings


def _coverage(status: Any, check: ReportCheck) -> None:
    from pyhanko.sign.validation.status import SignatureCoverageLevel

    extended = check.level in ("B-LT", "B-LTA")
    whole = SignatureCoverageLevel.ENTIRE_REVISION if extended else SignatureCoverageLevel.ENTIRE_FILE
    check.covers_whole_document = status.coverage is whole and not check.timestamp_findings
    level = status.modification_level
    check.modification_level = "unknown" if level is None else level.name
    if status.coverage is not whole:
        check.findings.append("The signature does not cover the whole file.")
    elif check.modification_level != ("LTA_UPDATES" if extended else "NONE"):
        check.findings.append(f"The document was modified after signing (level {check.modification_level}).")


def _subject(der: bytes) -> str:
    from cryptography.x509 import load_der_x509_certificate

    return load_der_x509_certificate(der).subject.rfc4514_string()


def _algorithm(certificate: Any, signature: Any, check: ReportCheck) -> None:
    key = certificate.public_key
    named = (key.algorithm, key.curve[1] if key.algorithm == "ec" else "", signature.md_algorithm)
    if named not in {("ec", "secp256r1", "sha256"), ("ed25519", "", "sha512")}:
        check.findings.append(f"Unexpected signature algorithm {' '.join(part for part in named if part)}.")


def _usage(certificate: Any, check: ReportCheck) -> None:
    usage = certificate.key_usage_value
    if usage is None or "non_repudiation" not in usage.native:
        check.findings.append("The certificate is not meant for signing documents (no nonRepudiation key usage).")


def _value(data: bytes, signature: Any, check: ReportCheck) -> SignatureForm | None:
    """The bytes that the signature cannot cover: its own value must have the one canonical form."""
    spans = [int(number) for number in signature.byte_range]
    if len(spans) != 4 or spans[0] != 0 or min(spans) < 0 or spans[1] > spans[2] or spans[2] + spans[3] > len(data):
        check.findings.append("The signed byte range is not of the expected form.")
        return None
    value = whole_value(data[spans[1] : spans[2]])
    form = None if value is None else canonical_cms(value)
    if form is None or form.encoded != value:
        check.findings.append("The signature's value is not in its canonical form: bytes outside the signature differ.")
        return None
    return form


def _validity(certificate: Any, check: ReportCheck) -> None:
    if check.signing_time is None:
        check.findings.append("The signature states no signing time.")
        return
    if check.signing_time.tzinfo is None:
        check.findings.append("The claimed signing time has no time zone.")
    elif not certificate.not_valid_before <= check.signing_time <= certificate.not_valid_after:
        check.findings.append("The claimed signing time lies outside the certificate's validity.")
    stamp = check.signature_timestamp
    if stamp is not None and not certificate.not_valid_before <= stamp.time <= certificate.not_valid_after:
        check.timestamp_findings.append("The signature was timestamped outside the certificate's validity.")
        check.findings.append(check.timestamp_findings[-1])


def _content(reader: Any, check: ReportCheck) -> None:
    root = reader.root
    unknown = sorted(set(root) - _CATALOG)
    if unknown:
        check.findings.append(f"The document's catalogue has entries that a report never has: {', '.join(unknown)}.")
    form = _entry(root, "/AcroForm", {})
    if len(_entry(form, "/Fields", [])) > 1 + (check.level == "B-LTA") or "/XFA" in form:
        check.findings.append("The document has form fields besides its signature.")
    kinds = set()
    for page in _pages(root["/Pages"], 0):
        if "/AA" in page:
            check.findings.append("A page starts an action.")
        for annotation in _entry(page, "/Annots", []):
            entry = annotation.get_object()
            kinds.add(str(_entry(entry, "/Subtype")))
            if "/A" in entry or "/AA" in entry:
                kinds.add("one with an action")
    if kinds - _ANNOTATIONS:
        check.findings.append(
            f"The document has annotations that a report never has: {', '.join(sorted(kinds - _ANNOTATIONS))}."
        )


def _pages(node: Any, depth: int) -> Iterator[Any]:
    if depth > 16:
        raise ValueError("page tree too deep")
    for child in node["/Kids"]:
        page = child.get_object()
        if _entry(page, "/Type") == "/Pages":
            yield from _pages(page, depth + 1)
        else:
            yield page


def _attachment(reader: Any, check: ReportCheck) -> None:
    names = _entry(reader.root, "/Names", {})
    if set(names) - {"/EmbeddedFiles"}:
        check.findings.append("The document has name trees besides that of its attachment.")
    files = _entry(names, "/EmbeddedFiles", {})
    listed = list(_entry(files, "/Names", []))
    if set(files) - {"/Names"} or len(listed) != 2 or str(listed[0]) != ATTACHMENT:
        found = "none" if not files else "another set"
        check.findings.append(f"The document must have exactly one attachment, {ATTACHMENT}; it has {found}.")
        return
    specification = listed[1].get_object()
    embedded = specification["/EF"]
    streams = {embedded.raw_get(key).reference for key in embedded}
    stream = embedded["/F"]
    if len(streams) != 1 or "/Filter" in stream or str(_entry(specification, "/F")) != ATTACHMENT:
        check.findings.append("The attachment is not stored as a report stores it.")
        return
    check.attestation = bytes(stream.data)
