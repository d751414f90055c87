"""The one form of a signature value that this tool writes (RFC 5652, CMS SignedData, DER).

A signature covers neither its own container nor how that is encoded, nor the timestamp that was put
on it afterwards. Rebuilding the container from its few meaningful parts and comparing bytes closes
that gap; the timestamp has a form of its own (``forensic.signing.tokenform``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forensic.signing import der

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # OBJECT IDENTIFIER 1.2.840.113549.1.7.2
_DATA = bytes.fromhex("06092a864886f70d010701")  # 1.2.840.113549.1.7.1
_SIGNATURE_TIMESTAMP = bytes.fromhex("060b2a864886f70d010910020e")  # 1.2.840.113549.1.9.16.2.14


@dataclass(frozen=True)
class SignatureForm:
    """``encoded``: the canonical container. ``signature``: the raw value, which ``token`` (if any) is about.

    ``certificates``: DER, the signer's first, each further one the issuer of the one before.
    """

    encoded: bytes
    certificates: tuple[bytes, ...]
    signature: bytes
    token: bytes | None


def canonical_cms(encoded: bytes) -> SignatureForm | None:
    """Rebuild the CMS value ``encoded`` from certificates, signed attributes, signature and timestamp.

    None if it is no CMS value of one signer with its certificate, its authorities up to a root or none at
    all, and at most one unsigned attribute, the signature timestamp.
    """
    from asn1crypto import cms

    from forensic.signing.tokenform import PARSING

    try:
        signed = cms.ContentInfo.load(encoded, strict=False)["content"]
        if len(signed["signer_infos"]) != 1:
            return None
        signer = signed["signer_infos"][0]
        certificates = _certificates(signed, signer)
        token = _token(signer)
        if certificates is None or token == b"":
            return None
        digest = cms.DigestAlgorithm({"algorithm": signer["digest_algorithm"]["algorithm"].native}).dump()
        kind = cms.SignedDigestAlgorithm({"algorithm": signer["signature_algorithm"]["algorithm"].native}).dump()
        named = signer["sid"].chosen
        name = der.sequence(named["issuer"].dump(), der.integer(named["serial_number"].native))
        value: bytes = signer["signature"].native
        attributes = der.element(0xA0, signer["signed_attrs"].contents)
        information = [der.integer(1), name, digest, attributes, kind, der.octets(value)]
        if token is not None:
            stamp = der.sequence(_SIGNATURE_TIMESTAMP, der.element(0x31, token))
            information.append(der.element(0xA1, stamp))
    except PARSING:
        return None
    container = der.sequence(
        _SIGNED_DATA,
        der.element(
            0xA0,
            der.sequence(
                der.integer(1),
                der.element(0x31, digest),
                der.sequence(_DATA),
                der.element(0xA0, b"".join(sorted(certificates))),
                der.element(0x31, der.sequence(*information)),
            ),
        ),
    )
    return SignatureForm(container, certificates, value, token)


def _certificates(signed: Any, signer: Any) -> tuple[bytes, ...] | None:
    """The signer's certificate alone, or with the whole path to a root; None for any other set."""
    from forensic.signing.tokenform import certificate_path

    named = signer["sid"].chosen
    own: list[bytes] = []
    others: list[bytes] = []
    for choice in signed["certificates"]:
        found = choice.chosen
        is_own = (found.issuer.dump(), found.serial_number) == (named["issuer"].dump(), named["serial_number"].native)
        (own if is_own else others).append(found.dump())
    if len(own) != 1:
        return None
    if not others:
        return (own[0],)
    path = certificate_path(own[0], others)
    return path if sorted(path) == sorted([own[0], *others]) else None


def _token(signer: Any) -> bytes | None:
    """The signature timestamp; None if there are no unsigned attributes, empty for anything else than one."""
    from asn1crypto import core

    attributes = signer["unsigned_attrs"]
    if isinstance(attributes, core.Void):
        return None
    if len(attributes) != 1 or attributes[0]["type"].native != "signature_time_stamp_token":
        return b""
    values = attributes[0]["values"]
    return bytes(values[0].dump()) if len(values) == 1 else b""
