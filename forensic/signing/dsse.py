"""DSSE v1 envelopes: a signature over a payload *and* its type.

Source: https://github.com/secure-systems-lab/dsse (protocol.md, envelope.md). Stricter than the
protocol where it leaves room: standard base64 only, no unknown keys, every signature must verify.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from forensic.errors import BadInput, VerificationFailed
from forensic.signing.certificate import Certificate, certificate_pem, key_id, read_certificate, signature_is_valid
from forensic.signing.identity import Identity

_MAX_SIGNATURES = 16


@dataclass(frozen=True, slots=True)
class VerifiedPayload:
    """A payload whose every signature verified.

    ``certificates`` are the signers', in the envelope's order. ``trusted`` is True when they came
    from the caller; False when they came with the envelope, which then proves only that whoever
    holds those keys signed these bytes, not who that is.
    """

    payload_type: str
    payload: bytes
    certificates: tuple[Certificate, ...]
    trusted: bool


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE of the DSSE protocol: ``DSSEv1 len(type) type len(payload) payload``, lengths in bytes, decimal."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign_envelope(
    payload_type: str, payload: bytes, identity: Identity, *, include_certificate: bool = True
) -> dict[str, Any]:
    """Sign ``payload`` and return the envelope as a JSON-ready dict.

    The signer's certificate goes in as PEM under ``cert`` unless the reader has it elsewhere
    (the ledger holds it once, not per entry).
    """
    signature = {
        "keyid": identity.key_id,
        "sig": base64.b64encode(identity.sign(pre_authentication_encoding(payload_type, payload))).decode("ascii"),
    }
    if include_certificate:
        signature["cert"] = certificate_pem(identity.certificate)
    return {
        "payload": base64.b64encode(payload).decode("ascii"),
        "payloadType": payload_type,
        "signatures": [signature],
    }


def verify_envelope(
    envelope: Any, *, payload_type: str, trusted: Mapping[str, Certificate] | None = None
) -> VerifiedPayload:
    """Check a parsed envelope; every signature in it must verify.

    ``trusted`` maps key ids to the certificates that may sign; with None, the certificate inside
    each signature is used (see ``VerifiedPayload.trusted``). A certificate inside the envelope must
    belong to the key named, and equal the trusted one where both exist.

    Raises ``BadInput`` (``dsse.malformed``, ``dsse.payload-type``, ``certificate.*``) for an envelope that is
    not one of ours and ``VerificationFailed`` (``dsse.unknown-key``, ``dsse.certificate``,
    ``dsse.signature``) for one that does not hold.
    """
    if not isinstance(envelope, dict) or set(envelope) != {"payload", "payloadType", "signatures"}:
        raise _malformed("it must have exactly the keys payload, payloadType and signatures")
    if envelope["payloadType"] != payload_type:
        raise BadInput(
            "dsse.payload-type",
            f"The envelope holds {str(envelope['payloadType'])[:100]!r}, not {payload_type!r}.",
        )
    payload = _decode(envelope["payload"], "payload")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= _MAX_SIGNATURES:
        raise _malformed(f"it must have 1 to {_MAX_SIGNATURES} signatures")
    message = pre_authentication_encoding(payload_type, payload)
    certificates: dict[str, Certificate] = {}
    for signature in signatures:
        keyid, raw, enclosed = _signature_fields(signature)
        if keyid in certificates:
            raise _malformed("one key signs twice")
        certificate = _signer(keyid, enclosed, trusted)
        if not signature_is_valid(certificate, raw, message):
            raise VerificationFailed("dsse.signature", f"The signature by key {keyid} does not match the payload.")
        certificates[keyid] = certificate
    return VerifiedPayload(payload_type, payload, tuple(certificates.values()), trusted is not None)


def _malformed(reason: str) -> BadInput:
    return BadInput("dsse.malformed", f"Not a valid DSSE envelope: {reason}.")


def _decode(text: Any, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        data = None
    # Encoding again refuses stray bits in the last character: one value, one text.
    if data is None or base64.b64encode(data).decode("ascii") != text:
        raise _malformed(f"{what} is not strict base64")
    return data


def _signature_fields(signature: Any) -> tuple[str, bytes, str | None]:
    if not isinstance(signature, dict) or not {"keyid", "sig"} <= set(signature) <= {"keyid", "sig", "cert"}:
        raise _malformed("a signature must have the keys keyid, sig and possibly cert, and no others")
    if not all(isinstance(value, str) for value in signature.values()):
        raise _malformed("a signature's values must be text")
    return signature["keyid"], _decode(signature["sig"], "sig"), signature.get("cert")


def _signer(keyid: str, enclosed: str | None, trusted: Mapping[str, Certificate] | None) -> Certificate:
    own = None if enclosed is None else read_certificate(enclosed)
    if own is not None and key_id(own) != keyid:
        raise VerificationFailed("dsse.certificate", f"The enclosed certificate is not of key {keyid[:64]}.")
    if trusted is None:
        if own is None:
            raise VerificationFailed("dsse.unknown-key", f"No certificate for key {keyid[:64]} is at hand.")
        return own
    known = trusted.get(keyid)
    if known is None:
        raise VerificationFailed("dsse.unknown-key", f"Key {keyid[:64]} is not among the trusted keys.")
    if own is not None and own != known:
        raise VerificationFailed("dsse.certificate", f"The enclosed certificate of key {keyid} is not the trusted one.")
    return known
