"""The one form of an RFC 3161 timestamp that is kept: everything nobody signed rebuilt or left out.

A token's signature covers the TSTInfo and the signed attributes. Status, certificate set, algorithm
lists, encoding and unsigned attributes around them can be changed by anybody. What is kept is
therefore put together anew from its meaningful parts (DER; status "granted"; the signer's
certificate and those above it), and what is checked later must equal that to the byte.

RFC 3161, 2.4.2; RFC 5652, 5.1 and 5.3; RFC 5035 and RFC 5816 (signing certificate attribute).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from forensic.errors import BadInput, ForensicError, VerificationFailed
from forensic.signing import der
from forensic.signing.chain import is_issued_by

MAX_BYTES = 1 << 18
"""Longest response that is read; usual ones have 1 to 8 KiB."""
_DIGESTS = {"sha256", "sha384", "sha512"}
_LONGEST_PATH = 8
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # OBJECT IDENTIFIER 1.2.840.113549.1.7.2
_TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")  # OBJECT IDENTIFIER 1.2.840.113549.1.9.16.1.4
# What asn1crypto and cryptography raise about hostile bytes; OverflowError: a length beyond the machine's.
PARSING = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, LookupError)


def malformed(reason: str) -> BadInput:
    """``timestamp.malformed``."""
    return BadInput("timestamp.malformed", f"Not an RFC 3161 timestamp of the expected form: {reason}.")


def token_of(response: bytes) -> tuple[bytes, list[str]]:
    """The token inside a TimeStampResp, as it is, and what the status says besides "granted".

    Raises ``BadInput`` (``timestamp.malformed``) and ``VerificationFailed`` (``timestamp.refused``: the
    authority did not grant it).
    """
    from asn1crypto import cms, core, tsp

    class Response(core.Sequence):  # type: ignore[misc]
        """TimeStampResp; asn1crypto's own insists on a token, which a refusal does not have."""

        _fields = [("status", tsp.PKIStatusInfo), ("token", cms.ContentInfo, {"optional": True})]  # noqa: RUF012

    if len(response) > MAX_BYTES:
        raise malformed(f"it has more than {MAX_BYTES} bytes")
    try:
        parsed = Response.load(response, strict=True)
        status, told = parsed["status"]["status"].native, parsed["status"]["status_string"].native or []
        words = " ".join(str(text) for text in told)[:200]
        if status != "granted":
            failure = parsed["status"]["fail_info"].native or ()
            words = words or ", ".join(sorted(failure)) or "no reason given"
            raise VerificationFailed("timestamp.refused", f"The timestamp authority answered {status}: {words}.")
        token: bytes = parsed["token"].dump()
    except PARSING as error:
        raise malformed(_plain(error)) from error
    return token, ["status text"] if words else []


def response_around(token: bytes) -> bytes:
    """A TimeStampResp with status "granted" and nothing else around ``token`` (both DER)."""
    return der.sequence(der.sequence(der.integer(0)), token)


def canonical_token(token: bytes, further: Iterable[x509.Certificate] = ()) -> tuple[bytes, list[str]]:
    """Rebuild ``token`` (a DER or BER CMS ContentInfo); also say what was left out or put in order.

    ``further`` certificates (an authority's root) complete the path where the token lacks them.
    Raises ``BadInput`` (``timestamp.malformed``) for what no form can be given, ``VerificationFailed``
    (``timestamp.certificate``) where the signed attributes do not name the signer's certificate.
    """
    if len(token) > MAX_BYTES:
        raise malformed(f"it has more than {MAX_BYTES} bytes")
    try:
        return _rebuilt(token, list(further))
    except ForensicError:
        raise
    except (*PARSING, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise malformed(_plain(error)) from error


def path_of(token: bytes) -> list[x509.Certificate]:
    """Certificates of a canonical token: the signer's first, each followed by the one that issued it."""
    signed, signer = _parts(token)
    return _path(signer, _enclosed(signed))


def whole_certificate(encoded: bytes) -> x509.Certificate:
    """A DER certificate no byte of which is without meaning. Raises ``ValueError`` and as the parser does.

    The parser lets a certificate's signature end in unused bits, which no signature covers.
    """
    from asn1crypto import x509 as asn1_x509

    if asn1_x509.Certificate.load(encoded, strict=True)["tbs_certificate"]["serial_number"].native <= 0:
        raise ValueError("a certificate's serial number is not positive")
    certificate = x509.load_der_x509_certificate(encoded)
    if not encoded.endswith(der.bits(certificate.signature)):
        raise ValueError("a certificate's signature is not a whole number of bytes")
    return certificate


def certificate_path(certificate: bytes, others: Sequence[bytes]) -> tuple[bytes, ...]:
    """``certificate`` and those of ``others`` that lead from it to a root (all DER); empty if they do not."""
    path = path_from(whole_certificate(certificate), [whole_certificate(each) for each in others])
    return tuple(_der(each) for each in path) if is_closed(path) else ()


def is_closed(path: Sequence[x509.Certificate]) -> bool:
    """Whether the path ends in a certificate that signed itself, so that no byte of it stands unverified."""
    return is_issued_by(path[-1], path[-1])


def _rebuilt(token: bytes, further: list[x509.Certificate]) -> tuple[bytes, list[str]]:
    from asn1crypto import core

    signed, signer = _parts(token)
    enclosed = _enclosed(signed)
    path = _path(signer, [*enclosed, *further])
    if not is_closed(path):
        path = path[:1]  # the signer's certificate is named by its digest; nothing vouches for those above it
    _names_signer(signer["signed_attrs"], path[0])
    digest, signature = _algorithms(signer, path[0])
    name = der.sequence(path[0].issuer.public_bytes(), der.integer(path[0].serial_number))
    information = der.sequence(
        der.integer(1),
        name,
        digest,
        der.element(0xA0, signer["signed_attrs"].contents),
        signature,
        der.octets(signer["signature"].native),
    )
    content = der.octets(signed["encap_content_info"]["content"].contents)
    form = der.sequence(
        _SIGNED_DATA,
        der.element(
            0xA0,
            der.sequence(
                der.integer(3),
                der.element(0x31, digest),
                der.sequence(_TST_INFO, der.element(0xA0, content)),
                der.element(0xA0, b"".join(sorted(_der(each) for each in path))),
                der.element(0x31, information),
            ),
        ),
    )
    changed = []
    if not isinstance(signer["unsigned_attrs"], core.Void):
        changed.append("unsigned attributes")
    if not isinstance(signed["crls"], core.Void):
        changed.append("revocation data")
    if {_der(each) for each in enclosed} - {_der(each) for each in path}:
        changed.append("certificates that are not on a complete path")
    if {_der(each) for each in path} - {_der(each) for each in enclosed}:
        changed.append("certificates added from the settings")
    if not changed and form != token:
        changed.append("encoding")
    return form, changed


def _parts(token: bytes) -> tuple[Any, Any]:
    """SignedData and its only SignerInfo (asn1crypto)."""
    from asn1crypto import cms

    outer = cms.ContentInfo.load(token, strict=True)
    if outer["content_type"].native != "signed_data":
        raise malformed("it is not CMS SignedData")
    signed = outer["content"]
    if signed["encap_content_info"]["content_type"].native != "tst_info":
        raise malformed("it holds no TSTInfo")
    if len(signed["signer_infos"]) != 1:
        raise malformed(f"it has {len(signed['signer_infos'])} signers")
    signer = signed["signer_infos"][0]
    if signer["sid"].name != "issuer_and_serial_number":
        raise malformed("its signer is not named by issuer and serial number")
    return signed, signer


@dataclass(frozen=True, slots=True)
class SignedParts:
    """What a token's signature is over: ``attributes`` as signed (DER SET), which hold the digest of ``content``."""

    content: bytes
    digest_name: str
    message_digest: bytes
    attributes: bytes
    signature: bytes


def signed_parts(token: bytes) -> SignedParts:
    """Take a canonical token apart."""
    signed, signer = _parts(token)
    attributes = signer["signed_attrs"]
    digest = next(each for each in attributes if each["type"].native == "message_digest")
    return SignedParts(
        content=signed["encap_content_info"]["content"].contents,
        digest_name=signer["digest_algorithm"]["algorithm"].native,
        message_digest=digest["values"][0].native,
        attributes=attributes.untag().dump(),
        signature=signer["signature"].native,
    )


def _enclosed(signed: Any) -> list[x509.Certificate]:
    found = []
    for choice in signed["certificates"]:
        if choice.name != "certificate":
            raise malformed("it holds something else than X.509 certificates")
        found.append(whole_certificate(choice.chosen.dump()))
    if len(found) > 2 * _LONGEST_PATH:
        raise malformed(f"it holds {len(found)} certificates")
    return found


def _path(signer: Any, certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    named = signer["sid"].chosen
    issuer, serial = named["issuer"].dump(), named["serial_number"].native
    own = [each for each in certificates if (each.serial_number, each.issuer.public_bytes()) == (serial, issuer)]
    if not own:
        raise malformed("the signer's certificate is not enclosed")
    return path_from(own[0], certificates)


def path_from(certificate: x509.Certificate, pool: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """``certificate``, and each further one of ``pool`` that signed the one before it, up to one that signed itself."""
    path = [certificate]
    while len(path) <= _LONGEST_PATH and not is_closed(path):
        above = next((each for each in pool if each not in path and is_issued_by(path[-1], each)), None)
        if above is None:
            break
        path.append(above)
    return path


def _algorithms(signer: Any, certificate: x509.Certificate) -> tuple[bytes, bytes]:
    """Digest and signature algorithm (DER) in their one form: as signed (RFC 6211), else the usual one."""
    from asn1crypto import cms

    digest, signature = signer["digest_algorithm"], signer["signature_algorithm"]
    names = digest["algorithm"].native, signature["algorithm"].native
    kind = {"rsassa_pkcs1v15": "rsa", f"{names[0]}_rsa": "rsa", f"{names[0]}_ecdsa": "ecdsa"}.get(names[1])
    own = "rsa" if isinstance(certificate.public_key(), rsa.RSAPublicKey) else "ecdsa"
    if names[0] not in _DIGESTS or kind != own:
        raise malformed(f"algorithms {names[0]} and {names[1]}")
    protected = [each for attribute in signer["signed_attrs"] for each in attribute["values"]
                 if attribute["type"].native == "cms_algorithm_protection"]  # fmt: skip
    if protected:
        signed = protected[0]["digest_algorithm"], protected[0]["signature_algorithm"].untag()
        if len(protected) != 1 or (signed[0]["algorithm"].native, signed[1]["algorithm"].native) != names:
            raise malformed("its algorithms are not the signed ones")
        return signed[0].dump(), signed[1].dump()
    usual = "rsassa_pkcs1v15" if kind == "rsa" else names[1]
    return (
        cms.DigestAlgorithm({"algorithm": names[0]}).dump(),
        cms.SignedDigestAlgorithm({"algorithm": usual}).dump(),
    )


def _names_signer(attributes: Any, certificate: x509.Certificate) -> None:
    """The signed attributes name exactly one content type, digest and certificate, and that one is the signer's."""
    values: dict[str, list[Any]] = {}
    for attribute in attributes:
        values.setdefault(attribute["type"].native, []).extend(attribute["values"])
    if len(values.get("content_type", ())) != 1 or len(values.get("message_digest", ())) != 1:
        raise malformed("content type or message digest are not signed exactly once")
    named = values.get("signing_certificate_v2") or values.get("signing_certificate") or []
    if len(named) != 1 or not len(named[0]["certs"]):
        raise malformed("the signed attributes do not name one signing certificate")
    first = named[0]["certs"][0]
    # RFC 3161 named certificates by SHA-1; RFC 5816 allows others. A second preimage is what would be needed.
    algorithm = first["hash_algorithm"]["algorithm"].native if "signing_certificate_v2" in values else "sha1"
    if algorithm not in _DIGESTS | {"sha1"}:
        raise malformed(f"digest algorithm {algorithm}")
    if hashlib.new(algorithm, _der(certificate), usedforsecurity=False).digest() != first["cert_hash"].native:
        raise VerificationFailed(
            "timestamp.certificate", "The enclosed certificate is not the one that the timestamp's signature names."
        )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _plain(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
