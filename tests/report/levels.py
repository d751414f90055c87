"""Reports at every PAdES level, and the surgery on them that attacks need."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from asn1crypto import cms, core

from forensic.signing import der
from forensic.signing.authority import Authority, certificate_request, create_authority, current_list, issue
from forensic.signing.chain import revocation_list_pem
from forensic.signing.identity import Identity, create_identity, install_certificate, load_identity
from forensic.signing.timestamp import accept_response, build_request, read_roots
from forensic.signing.validationdata import ValidationData, gather
from tests.report.files import add_document_timestamp, add_validation_data, sign_pdf
from tests.tsa import LocalTsa


@dataclass
class Laboratory:
    """A certified examiner, the laboratory's authority, and a timestamp authority; no network."""

    folder: Path
    tsa: LocalTsa
    began: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    tokens: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tsa.make()
        self.authority: Authority = create_authority(self.folder / "ca", name="Lab CA", passphrase=None, now=self.began)
        self_issued = create_identity(
            self.folder / "id", examiner="Ada Examiner", lab="Lab 7", passphrase=None, now=self.began
        )
        request = certificate_request(self_issued).encode("ascii")
        certificate = issue(self.authority, request, role="examiner", days=90, now=self.began)
        install_certificate(
            self.folder / "id", certificate, (self.authority.certificate,), self_issued.signer.public_key
        )
        self.identity: Identity = load_identity(self.folder / "id")

    @property
    def lists(self) -> list[bytes]:
        """Revocation lists of both authorities."""
        return [revocation_list_pem(current_list(self.authority)).encode(), self.tsa.crl_pem.read_bytes()]

    def stamp(self, digest: bytes) -> bytes:
        """A token by the timestamp authority."""
        request = build_request(digest)
        token = accept_response(self.tsa.honest(request.der), request).token
        self.tokens.append(token)
        return token

    def validation_data(self, token: bytes) -> ValidationData:
        """What B-LT needs."""
        roots = read_roots([self.tsa.root_pem.read_bytes()]).certificates
        return gather(self.identity.certificate_pem, self.identity.chain_pem, token, self.lists, roots)

    def sign(self, unsigned: Path, folder: Path, level: str) -> Path:
        """The report signed at ``level``."""
        folder.mkdir(parents=True, exist_ok=True)
        basic, extended, out = folder / "basic.pdf", folder / "extended.pdf", folder / f"{level}.pdf"
        when = dt.datetime.now(dt.UTC).replace(microsecond=0)
        stamp = None if level == "B-B" else self.stamp
        sign_pdf(unsigned, basic, self.identity, reason="x", when=when, chain=self.identity.chain_pem, stamp=stamp)
        if level in ("B-B", "B-T"):
            return basic.replace(out)
        data = self.validation_data(self.tokens[-1])
        add_validation_data(basic, extended, data)
        if level == "B-LT":
            return extended.replace(out)
        add_document_timestamp(extended, out, self.stamp)
        return out


def contents(pdf: bytes, which: int = 0) -> tuple[int, int]:
    """Where the value of the ``which``-th signature stands: first and last place, brackets excluded."""
    place = -1
    for _ in range(which + 1):
        place = pdf.index(b"/Contents <", place + 1)
    start = place + len(b"/Contents <")
    return start, pdf.index(b">", start)


def value(pdf: bytes, which: int = 0) -> bytes:
    """The CMS value of a signature (with its padding)."""
    start, end = contents(pdf, which)
    return bytes.fromhex(pdf[start:end].decode("ascii"))


def with_value(pdf: bytes, new: bytes, which: int = 0) -> bytes:
    """The same file with another CMS value in the same room."""
    start, end = contents(pdf, which)
    digits = new.hex().upper().encode("ascii")
    assert len(digits) <= end - start
    return pdf[:start] + digits.ljust(end - start, b"0") + pdf[end:]


def token_in(pdf: bytes) -> bytes:
    """The timestamp on the report's signature."""
    signer = cms.ContentInfo.load(value(pdf), strict=False)["content"]["signer_infos"][0]
    token: bytes = signer["unsigned_attrs"][0]["values"][0].dump()
    return token


def with_token(pdf: bytes, *tokens: bytes, kind: str = "1.2.840.113549.1.9.16.2.14") -> bytes:
    """The report with other timestamps on its signature, or with none: anybody can do that."""
    attribute = der.sequence(core.ObjectIdentifier(kind).dump(), der.element(0x31, b"".join(tokens)))
    return _rebuilt(pdf, unsigned=attribute if tokens else b"")


def with_certificate(pdf: bytes, certificate: bytes) -> bytes:
    """The report with a further certificate (DER) in its signature."""
    return _rebuilt(pdf, certificate=certificate, unsigned=None)


def _rebuilt(pdf: bytes, *, certificate: bytes = b"", unsigned: bytes | None) -> bytes:
    # By hand: asn1crypto takes minutes to encode what was changed this deep inside.
    signed = cms.ContentInfo.load(value(pdf), strict=False)["content"]
    signer = signed["signer_infos"][0]
    if unsigned is None:
        unsigned = b"" if isinstance(signer["unsigned_attrs"], core.Void) else signer["unsigned_attrs"].contents
    fields = ("version", "sid", "digest_algorithm", "signed_attrs", "signature_algorithm", "signature")
    information = b"".join(signer[name].dump() for name in fields)
    if unsigned:
        information += der.element(0xA1, unsigned)
    parts = (
        signed["version"].dump(),
        signed["digest_algorithms"].dump(),
        signed["encap_content_info"].dump(),
        der.element(0xA0, signed["certificates"].contents + certificate),
        der.element(0x31, der.sequence(information)),
    )
    container = der.element(0xA0, der.sequence(*parts))
    return with_value(pdf, der.sequence(core.ObjectIdentifier("1.2.840.113549.1.7.2").dump(), container))
