"""The certificates and revocation lists of a ledger extract as files of their own, for other people's tools. Light."""

from __future__ import annotations

import base64

from forensic.case.identities import IdentityRegister
from forensic.case.verification.bundleform.bag import CERTIFICATES
from forensic.hashes import sha256_bytes
from forensic.signing.certificate import certificate_pem
from forensic.signing.chain import revocation_list_pem


def certificate_files(register: IdentityRegister) -> dict[str, bytes]:
    """Every certificate (of signers, of authorities above them) and revocation list that the entries hold.

    Names in the bag are ``SHA256.pem`` and ``SHA256.crl.pem``, after the SHA-256 of the DER form.
    """
    certificates = [one for known in register.certificates.values() for one in known] + register.chains
    if register.authority is not None:
        certificates.append(register.authority)
    files = {}
    for certificate in certificates:
        pem = certificate_pem(certificate)
        files[f"{CERTIFICATES}{_der_sha256(pem)}.pem"] = pem.encode("ascii")
    for revocations in register.lists:
        pem = revocation_list_pem(revocations)
        files[f"{CERTIFICATES}{_der_sha256(pem)}.crl.pem"] = pem.encode("ascii")
    return files


def _der_sha256(pem: str) -> str:
    return sha256_bytes(base64.b64decode("".join(pem.splitlines()[1:-1])))
