"""What a signature needs to be checked years later: certificates up to their roots, and revocation lists.

PAdES baseline LT (ETSI EN 319 142-1, 5.4). Nothing signs this collection itself, so every piece must
vouch for itself: each certificate is signed by the next, the last by itself, each list by an issuer.
Whether a root deserves trust is the verifier's business.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from forensic.errors import ForensicError, VerificationFailed
from forensic.signing import der
from forensic.signing.certificate import Certificate
from forensic.signing.chain import RevocationList, list_is_of, read_certificates, read_revocation_list
from forensic.signing.timestamp import stated_time
from forensic.signing.tokenform import PARSING, is_closed, path_from, path_of, whole_certificate

_MOST = 32
_LONGEST_LIST = 16 << 20


@dataclass(frozen=True, slots=True)
class ValidationData:
    """Certificates and revocation lists (DER), each sorted and without repetition."""

    certificates: tuple[bytes, ...]
    lists: tuple[bytes, ...]


def gather(
    certificate_pem: str,
    chain_pem: Iterable[str],
    token: bytes,
    lists: Iterable[bytes],
    roots: Iterable[Certificate],
) -> ValidationData:
    """Collect what belongs to a signer, its authorities, and the timestamp ``token`` on its signature.

    ``lists``: revocation lists, PEM or DER; those that are not needed are left out. Raises
    ``VerificationFailed`` (``validation-data.incomplete``: what is missing, expired or revoked) and ``BadInput``.
    """
    pool = list(roots)
    own, *above = [one for pem in (certificate_pem, *chain_pem) for one in read_certificates(pem.encode())]
    stamp = path_of(token)
    paths = [path_from(own, [*above, *pool]), path_from(stamp[0], [*stamp, *pool])]
    at = stated_time(token)
    needed = _needed(paths, [read_revocation_list(each) for each in lists], at)
    data = ValidationData(
        tuple(sorted({_der(each) for path in paths for each in path})),
        tuple(sorted({each.public_bytes(serialization.Encoding.DER) for each in needed})),
    )
    faults = validation_faults(data, _der(own), token)
    if faults:
        raise VerificationFailed("validation-data.incomplete", "; ".join(faults))
    return data


def validation_faults(data: ValidationData, signer: bytes, token: bytes) -> list[str]:
    """Why ``data`` does not prove that signer's and authority's certificates stood when ``token`` was made.

    Empty if it does, holds nothing else, and no byte of it could change unnoticed. ``signer``: DER.
    """
    if len(data.certificates) > _MOST or len(data.lists) > _MOST or any(len(e) > _LONGEST_LIST for e in data.lists):
        return ["the validation data are larger than a report needs"]
    try:
        pool = [whole_certificate(each) for each in data.certificates]
        lists = [_whole_list(each) for each in data.lists]
        own = whole_certificate(signer)
        stamp = path_of(token)
        at = stated_time(token)
    except (*PARSING, UnsupportedAlgorithm, x509.InvalidVersion, ForensicError) as error:
        return [f"the validation data cannot be read: {' '.join(str(error).split())[:120]}"]
    paths = [path_from(own, pool), path_from(stamp[0], pool)]
    return list(_faults(paths, lists, at)) + _surplus(data, paths, lists, at)


def _faults(paths: Sequence[Sequence[Certificate]], lists: Sequence[RevocationList], at: dt.datetime) -> Iterable[str]:
    for path in paths:
        if not is_closed(path):
            yield f"the issuer of {path[-1].subject.rfc4514_string()} is missing"
        for certificate, issuer in pairwise(path):
            name = certificate.subject.rfc4514_string()
            current = _current(lists, issuer, at)
            if current is None:
                yield f"there is no revocation list about {name} that was in force at {at:%Y-%m-%dT%H:%M:%SZ}"
                continue
            entry = current.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and entry.revocation_date_utc <= at:
                yield f"{name} was revoked on {entry.revocation_date_utc:%Y-%m-%d}, before the timestamp"


def _surplus(
    data: ValidationData, paths: Sequence[Sequence[Certificate]], lists: Sequence[RevocationList], at: dt.datetime
) -> list[str]:
    used = {_der(each) for path in paths for each in path}
    needed = {each.public_bytes(serialization.Encoding.DER) for each in _needed(paths, lists, at)}
    if data.certificates != tuple(sorted(used)) or data.lists != tuple(sorted(needed)):
        return ["the validation data are not exactly those that are needed"]
    return []


def _needed(
    paths: Sequence[Sequence[Certificate]], lists: Sequence[RevocationList], at: dt.datetime
) -> list[RevocationList]:
    issuers = [issuer for path in paths for issuer in path[1:]]
    return [found for issuer in issuers if (found := _current(lists, issuer, at)) is not None]


def _current(lists: Sequence[RevocationList], issuer: Certificate, at: dt.datetime) -> RevocationList | None:
    """The newest list by ``issuer`` that had not run out at that time."""
    own = [each for each in lists if list_is_of(each, issuer) and (each.next_update_utc or at) >= at]
    return max(own, key=lambda each: (each.last_update_utc, each.fingerprint(hashes.SHA256())), default=None)


def _whole_list(encoded: bytes) -> RevocationList:
    found = read_revocation_list(encoded)
    if found.public_bytes(serialization.Encoding.DER) != encoded or not encoded.endswith(der.bits(found.signature)):
        raise ValueError("a revocation list has bytes without meaning")
    return found


def _der(certificate: Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
