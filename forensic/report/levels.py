"""What may stand after and around a report's signature: timestamp, validation data, document timestamp.

PAdES baseline levels (ETSI EN 319 142-1, 6.3) and the revisions that each has; anything else is a finding:

=====  ==============================================================
B-B    document, signature
B-T    the same; the signature's value carries a timestamp
B-LT   and one revision with certificates and revocation lists
B-LTA  and one revision with a timestamp over all that
=====  ==============================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from forensic.errors import ForensicError
from forensic.report.cmsform import SignatureForm
from forensic.report.longterm import with_validation_data
from forensic.signing.chain import Authorities
from forensic.signing.timestamp import Timestamp, verify_token
from forensic.signing.validationdata import ValidationData, validation_faults

_MOST_STREAMS = 64


@dataclass
class Levels:
    """The level that a report has, its timestamps, and what is wrong about either (sentences)."""

    level: str = "B-B"
    signature_timestamp: Timestamp | None = None
    document_timestamp: Timestamp | None = None
    findings: list[str] = field(default_factory=list)


def check_levels(reader: Any, data: bytes, form: SignatureForm, end: int, roots: Authorities) -> Levels:
    """Examine ``data``, whose signature has ``form`` and covers the first ``end`` bytes (pyHanko ``reader``)."""
    levels = Levels()
    stamps = list(reader.embedded_timestamp_signatures)
    store = reader.root["/DSS"] if "/DSS" in reader.root else None  # noqa: SIM401 - get() follows no reference
    found, expected = reader.xrefs.total_revisions, 2 + (store is not None) + bool(stamps)
    if found != expected or len(stamps) > 1 or (stamps and store is None) or (store is not None and form.token is None):
        levels.findings.append(
            f"The file has {found} revisions; a signed report has 2, or 3 with validation data and a timestamped "
            "signature, or 4 with a document timestamp at the end."
        )
        return levels
    if form.token is not None:
        levels.level = "B-T"
        digests = {name: hashlib.new(name, form.signature).digest() for name in ("sha256", "sha512")}
        levels.signature_timestamp = _stamp(levels, form.token, digests, roots, "on the signature")
    if store is not None and form.token is not None:
        levels.level = "B-LT"
        end = _store(levels, store, data, form, form.token, end)
    if stamps:
        levels.level = "B-LTA"
        levels.document_timestamp = _document_stamp(levels, stamps[0], data, roots)
    elif end != len(data):
        levels.findings.append("The file does not end where its signature and validation data end.")
    return levels


def _stamp(levels: Levels, token: bytes, digests: dict[str, bytes], roots: Authorities, where: str) -> Timestamp | None:
    try:
        return verify_token(token, digests, roots)
    except ForensicError as error:
        levels.findings.append(f"The timestamp {where} does not hold: {error.message}")
        return None


def _store(levels: Levels, store: Any, data: bytes, form: SignatureForm, token: bytes, end: int) -> int:
    """The revision with validation data must be the one that follows from them; returns where it ends."""
    material = ValidationData(tuple(_streams(store, "/Certs")), tuple(_streams(store, "/CRLs")))
    levels.findings += [
        f"Validation data: {fault}." for fault in validation_faults(material, form.certificates[0], token)
    ]
    try:
        expected = with_validation_data(data[:end], material)
    except ForensicError as error:
        levels.findings.append(error.message)
        return end
    if data[: len(expected)] != expected:
        levels.findings.append("The validation data are not in the one form that a report has.")
    return len(expected)


def _streams(store: Any, key: str) -> Iterator[bytes]:
    for place, reference in enumerate(store[key] if key in store else []):  # noqa: SIM401 - as above
        if place == _MOST_STREAMS:
            raise ValueError("too many validation data")
        stream = reference.get_object()
        if "/Filter" in stream:
            raise ValueError("validation data with a filter")
        yield bytes(stream.data)


def _document_stamp(levels: Levels, stamp: Any, data: bytes, roots: Authorities) -> Timestamp | None:
    spans = [int(number) for number in stamp.byte_range]
    if len(spans) != 4 or spans[0] != 0 or min(spans) < 0 or spans[1] > spans[2] or spans[2] + spans[3] != len(data):
        levels.findings.append("The document timestamp does not cover the whole file.")
        return None
    token = whole_value(data[spans[1] : spans[2]])
    if token is None or stamp.sig_object.get("/SubFilter") != "/ETSI.RFC3161":
        levels.findings.append("The document timestamp is not written in its one form.")
        return None
    digest = hashlib.sha256(data[: spans[1]])
    digest.update(data[spans[2] :])
    return _stamp(levels, token, {"sha256": digest.digest()}, roots, "on the document")


def whole_value(gap: bytes) -> bytes | None:
    """The DER value in ``<HEX00…>``, upper-case hexadecimal and then zeros only; None for any other writing."""
    digits = gap[1:-1]
    try:
        value = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    if gap[:1] + gap[-1:] != b"<>" or digits != value.hex().upper().encode("ascii") or len(value) < 4:
        return None
    size = _der_size(value)
    return None if size is None or any(value[size:]) else value[:size]


def _der_size(value: bytes) -> int | None:
    """Length of the DER element that ``value`` begins with, or None."""
    first = value[1]
    if first < 0x80:
        return 2 + first
    octets = first & 0x7F
    size = 2 + octets + int.from_bytes(value[2 : 2 + octets], "big")
    return size if 1 <= octets <= 4 and size <= len(value) else None
