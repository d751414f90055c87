"""The one form of a signature value that this tool writes (RFC 5652, CMS SignedData, DER).

A signature covers neither its own container nor how that is encoded. Rebuilding the container
from its few meaningful parts and comparing bytes closes that gap.
"""

from __future__ import annotations


def canonical_cms(encoded: bytes) -> bytes | None:
    """Rebuild the CMS value ``encoded`` from certificate, signed attributes and signature.

    Returns DER bytes, to be compared with the original, or None if it is no CMS value of one
    signer with one certificate.
    """
    from asn1crypto import cms

    try:
        content = cms.ContentInfo.load(encoded, strict=False)
        signed = content["content"]
        if len(signed["signer_infos"]) != 1 or len(signed["certificates"]) != 1:
            return None
        signer, certificate = signed["signer_infos"][0], signed["certificates"][0].chosen
        digest = cms.DigestAlgorithm({"algorithm": signer["digest_algorithm"]["algorithm"].native})
        rebuilt = cms.ContentInfo(
            {
                "content_type": "signed_data",
                "content": cms.SignedData(
                    {
                        "version": "v1",
                        "digest_algorithms": cms.DigestAlgorithms([digest]),
                        "encap_content_info": {"content_type": "data"},
                        "certificates": [certificate],
                        "signer_infos": [
                            cms.SignerInfo(
                                {
                                    "version": "v1",
                                    "sid": cms.SignerIdentifier(
                                        {
                                            "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                                                {
                                                    "issuer": certificate.issuer,
                                                    "serial_number": certificate.serial_number,
                                                }
                                            )
                                        }
                                    ),
                                    "digest_algorithm": digest,
                                    "signed_attrs": signer["signed_attrs"],
                                    "signature_algorithm": cms.SignedDigestAlgorithm(
                                        {"algorithm": signer["signature_algorithm"]["algorithm"].native}
                                    ),
                                    "signature": signer["signature"].native,
                                }
                            )
                        ],
                    }
                ),
            }
        )
        return bytes(rebuilt.dump())
    except (ValueError, TypeError, KeyError):
        return None
