"""A laboratory's own authority: what it certifies, openssl accepts; what it revokes, openssl refuses."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from forensic.errors import BadInput, ForensicError, UsageError, VerificationFailed
from forensic.signing.authority import (
    Authority,
    certificate_request,
    create_authority,
    current_list,
    issue,
    list_facts,
    open_authority,
    revoke,
)
from forensic.signing.certificate import Certificate, certificate_pem, certified_title, common_name
from forensic.signing.chain import Authorities, read_authorities, read_certificates, read_revocation_list, standing
from forensic.signing.identity import Identity, create_identity, install_certificate, load_identity
from tests.signing.conftest import NOW

LATER = NOW + dt.timedelta(days=10)


def refused(kind: type[ForensicError], code: str):
    return pytest.raises(kind, match=rf"^\[{code}\]")


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return create_authority(tmp_path / "ca", name="Lab 7 CA", passphrase="for the safe", now=NOW)


@pytest.fixture
def ada(tmp_path: Path) -> Identity:
    return create_identity(tmp_path / "ada", examiner="Ada", lab="Lab 7", passphrase=None, now=NOW)


def certify(authority: Authority, identity: Identity, role: str = "examiner", days: int = 365) -> Certificate:
    return issue(authority, certificate_request(identity).encode(), role=role, days=days, now=NOW)


def trusted(authority: Authority) -> Authorities:
    files = [(authority.folder / name).read_bytes() for name in ("certificate.pem", "crl.pem")]
    return read_authorities([b"".join(files)])


def test_openssl_agrees_on_request_certificate_and_revocation_list(
    authority: Authority, ada: Identity, tmp_path: Path
) -> None:
    (tmp_path / "ada.csr").write_text(certificate_request(ada))
    request = openssl("req", "-in", tmp_path / "ada.csr", "-verify", "-noout")
    assert "verify OK" in request.stdout + request.stderr
    certificate = certify(authority, ada, "reviewer")
    install_certificate(tmp_path / "ada", certificate, (authority.certificate,), ada.signer.public_key)
    root = authority.folder / "certificate.pem"
    at = str(int(LATER.timestamp()))
    assert openssl("verify", "-attime", at, "-CAfile", root, tmp_path / "ada" / "certificate.pem").returncode == 0
    listed = openssl("crl", "-in", authority.folder / "crl.pem", "-CAfile", root, "-noout", "-text")
    assert "verify OK" in listed.stderr
    assert "No Revoked Certificates" in listed.stdout
    shown = openssl("x509", "-in", tmp_path / "ada" / "certificate.pem", "-noout", "-subject", "-ext", "keyUsage")
    assert "title = reviewer" in shown.stdout
    assert "Digital Signature, Non Repudiation" in shown.stdout


def test_what_is_revoked_openssl_and_we_refuse_alike(authority: Authority, ada: Identity, tmp_path: Path) -> None:
    certificate = certify(authority, ada)
    assert standing(certificate, (), trusted(authority), LATER).revoked is None
    revoke(authority, f"{certificate.serial_number:x}", reason="key-compromise", days=30, now=NOW)
    found = standing(certificate, (), trusted(authority), LATER)
    assert (found.fault, found.revoked) == ("", NOW.replace(microsecond=0))
    (tmp_path / "both.pem").write_bytes(
        b"".join((authority.folder / name).read_bytes() for name in ("certificate.pem", "crl.pem"))
    )
    (tmp_path / "ada.pem").write_text(certificate_pem(certificate))
    at = str(int(LATER.timestamp()))
    checked = openssl("verify", "-attime", at, "-crl_check", "-CAfile", tmp_path / "both.pem", tmp_path / "ada.pem")
    assert "certificate revoked" in checked.stderr
    listed = openssl("crl", "-in", authority.folder / "crl.pem", "-noout", "-text")
    assert "Key Compromise" in listed.stdout


def test_what_is_on_the_list_stays_on_it_and_the_number_counts(authority: Authority, tmp_path: Path) -> None:
    serials = []
    for name in ("a", "b"):
        made = create_identity(tmp_path / name, examiner=name, lab="", passphrase=None, now=NOW)
        serials.append(f"{certify(authority, made).serial_number:x}")
        revoke(authority, serials[-1], days=30, now=NOW)
    again = revoke(authority, serials[0], days=30, now=LATER)
    facts = list_facts(again)
    assert facts["revoked"] == sorted(serials)
    assert facts["number"] == 4
    first = again.get_revoked_certificate_by_serial_number(int(serials[0], 16))
    assert first is not None and first.revocation_date_utc == NOW.replace(microsecond=0)


def test_a_serial_number_that_was_never_issued_is_refused(authority: Authority) -> None:
    for serial in ("abcdef", "not hex", "", "../../key"):
        with refused(UsageError, "authority.serial"):
            revoke(authority, serial, days=30, now=NOW)
    assert list_facts(current_list(authority))["number"] == 1


def test_a_list_that_another_wrote_is_not_carried_on(authority: Authority, tmp_path: Path) -> None:
    other = create_authority(tmp_path / "other", name="Lab 7 CA", passphrase=None, now=NOW)
    (authority.folder / "crl.pem").write_bytes((other.folder / "crl.pem").read_bytes())
    with refused(VerificationFailed, "authority.list"):
        revoke(authority, None, days=30, now=NOW)
    (authority.folder / "crl.pem").unlink()
    with refused(VerificationFailed, "authority.list"):
        revoke(authority, None, days=30, now=NOW)


def test_the_authority_opens_with_its_passphrase_only(authority: Authority, ada: Identity, tmp_path: Path) -> None:
    with refused(UsageError, "identity.passphrase"):
        open_authority(authority.folder, lambda: "guess")
    assert open_authority(authority.folder, lambda: "for the safe").certificate == authority.certificate
    with refused(UsageError, "authority.none"):
        open_authority(tmp_path / "ada", lambda: "")


def test_a_request_signed_by_another_key_is_refused(authority: Authority) -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name.from_rfc4514_string("CN=Ada")
    request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
    theirs = x509.CertificateSigningRequestBuilder(name).sign(other, hashes.SHA256())
    ours, stolen = (r.public_bytes(serialization.Encoding.DER) for r in (request, theirs))
    spki = [
        k.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for k in (key, other)
    ]
    assert spki[1] in stolen
    forged = x509.load_der_x509_csr(stolen.replace(spki[1], spki[0]))
    with refused(BadInput, "certificate.request"):
        issue(authority, forged.public_bytes(serialization.Encoding.PEM), role="examiner", days=30, now=NOW)
    for data in (b"", b"garbage", ours):
        with refused(BadInput, "certificate.request"):
            issue(authority, data, role="examiner", days=30, now=NOW)


def test_a_request_for_a_key_that_we_do_not_accept_is_refused(authority: Authority) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name.from_rfc4514_string("CN=Ada")
    request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
    with refused(BadInput, "certificate.request"):
        issue(authority, request.public_bytes(serialization.Encoding.PEM), role="examiner", days=30, now=NOW)


def test_the_role_is_the_authoritys_word_not_the_requests(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("title=reviewer,O=Lab 7,CN=Ada", {"title": x509.NameOID.TITLE})
    request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    certificate = issue(authority, pem, role="examiner", days=30, now=NOW)
    assert (common_name(certificate), certified_title(certificate)) == ("Ada", "examiner")
    with refused(UsageError, "identity.role"):
        issue(authority, pem, role="judge", days=30, now=NOW)
    with refused(UsageError, "authority.days"):
        issue(authority, pem, role="examiner", days=0, now=NOW)


def test_an_ed25519_key_can_be_certified(authority: Authority) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    request = x509.CertificateSigningRequestBuilder(x509.Name.from_rfc4514_string("CN=Ada")).sign(key, None)
    certificate = issue(authority, request.public_bytes(serialization.Encoding.PEM), role="examiner", days=30, now=NOW)
    assert not standing(certificate, (), trusted(authority), LATER).fault


def test_a_certificate_for_another_key_is_not_installed(authority: Authority, ada: Identity, tmp_path: Path) -> None:
    bea = create_identity(tmp_path / "bea", examiner="Bea", lab="", passphrase=None, now=NOW)
    with refused(VerificationFailed, "identity.mismatch"):
        install_certificate(tmp_path / "ada", certify(authority, bea), (), ada.signer.public_key)
    assert load_identity(tmp_path / "ada").certificate == ada.certificate


def test_the_chain_comes_back_with_the_identity(authority: Authority, ada: Identity, tmp_path: Path) -> None:
    install_certificate(tmp_path / "ada", certify(authority, ada), (authority.certificate,), ada.signer.public_key)
    loaded = load_identity(tmp_path / "ada")
    assert loaded.kind == "issued"
    assert loaded.chain == (authority.certificate,)
    assert loaded.key_id == ada.key_id


# Paths that must not hold


def _certificate(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *,
    ca: bool | None = None, length: int | None = None, sign_usage: bool | None = None, days: int = 100,
    critical: bool = False, digest: hashes.HashAlgorithm | None = None,
) -> Certificate:  # fmt: skip
    builder = x509.CertificateBuilder(
        x509.Name.from_rfc4514_string(issuer),
        x509.Name.from_rfc4514_string(subject),
        key.public_key(),
        x509.random_serial_number(),
        NOW,
        NOW + dt.timedelta(days=days),
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, length if ca else None), critical=True)
    if sign_usage is not None:
        usage = x509.KeyUsage(not sign_usage, False, False, False, False, sign_usage, sign_usage, False, False)
        builder = builder.add_extension(usage, critical=True)
    if critical:
        builder = builder.add_extension(x509.NameConstraints([x509.DNSName("example.org")], None), critical=True)
    return builder.sign(by, digest or hashes.SHA256())


@pytest.fixture(scope="module")
def keys() -> list[ec.EllipticCurvePrivateKey]:
    return [ec.generate_private_key(ec.SECP256R1()) for _ in range(4)]


def test_a_path_over_an_authority_in_between_holds(keys: list[ec.EllipticCurvePrivateKey]) -> None:
    root = _certificate("CN=Root", "CN=Root", keys[0], keys[0], ca=True, sign_usage=True)
    between = _certificate("CN=Lab", "CN=Root", keys[1], keys[0], ca=True, length=0, sign_usage=True)
    leaf = _certificate("CN=Ada", "CN=Lab", keys[2], keys[1], ca=False, sign_usage=False)
    found = standing(leaf, (between,), Authorities((root,)), LATER)
    assert (found.fault, [one.subject.rfc4514_string() for one in found.path]) == ("", ["CN=Ada", "CN=Lab", "CN=Root"])
    assert standing(leaf, (), Authorities((root,)), LATER).fault
    assert not standing(leaf, (), Authorities((between,)), LATER).fault


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"between": {"ca": False}}, "not a certificate authority"),
        ({"between": {"ca": None}}, "not a certificate authority"),
        ({"between": {"sign_usage": False}}, "may not sign certificates"),
        ({"between": {"days": 5}}, "was not valid"),
        ({"between": {"critical": True}}, "not understood"),
        ({"between": {"digest": hashes.SHA224()}}, "weak digest"),
        ({"root": {"length": 0}}, "so many authorities"),
        ({"root": {"days": 5}}, "was not valid"),
        ({"leaf": {"days": 5}}, "was not valid"),
        ({"leaf": {"critical": True}}, "not understood"),
        ({"leaf": {"sign_usage": True}}, "not meant for signing"),
    ],
)
def test_a_path_with_one_thing_wrong_does_not_hold(
    keys: list[ec.EllipticCurvePrivateKey], changes: dict[str, dict[str, object]], words: str
) -> None:
    options: dict[str, dict[str, object]] = {
        "root": {"ca": True, "sign_usage": True} | changes.get("root", {}),
        "between": {"ca": True, "sign_usage": True} | changes.get("between", {}),
        "leaf": {"ca": False, "sign_usage": False} | changes.get("leaf", {}),
    }
    root = _certificate("CN=Root", "CN=Root", keys[0], keys[0], **options["root"])  # type: ignore[arg-type]
    between = _certificate("CN=Lab", "CN=Root", keys[1], keys[0], **options["between"])  # type: ignore[arg-type]
    leaf = _certificate("CN=Ada", "CN=Lab", keys[2], keys[1], **options["leaf"])  # type: ignore[arg-type]
    assert words in standing(leaf, (between,), Authorities((root,)), LATER).fault


def test_an_authority_of_the_same_name_with_another_key_is_not_ours(keys: list[ec.EllipticCurvePrivateKey]) -> None:
    ours = _certificate("CN=Lab 7 CA", "CN=Lab 7 CA", keys[0], keys[0], ca=True, sign_usage=True)
    leaf = _certificate("CN=Ada", "CN=Lab 7 CA", keys[2], keys[1], ca=False, sign_usage=False)
    assert "not among the trusted" in standing(leaf, (), Authorities((ours,)), LATER).fault


def test_a_revocation_list_of_another_authority_says_nothing(
    authority: Authority, ada: Identity, tmp_path: Path
) -> None:
    certificate = certify(authority, ada)
    impostor = create_authority(tmp_path / "impostor", name="Lab 7 CA", passphrase=None, now=NOW)
    pem = certificate_pem(certificate).encode()
    (impostor.folder / "issued").mkdir()
    (impostor.folder / "issued" / f"{certificate.serial_number:x}.pem").write_bytes(pem)
    forged = revoke(impostor, f"{certificate.serial_number:x}", days=30, now=NOW)
    found = standing(certificate, (), Authorities((authority.certificate,), (forged,)), LATER)
    assert (found.fault, found.revoked, found.newest_list) == ("", None, None)


def test_files_that_hold_no_certificate_are_refused() -> None:
    for data in (b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with refused(BadInput, "certificate.unreadable"):
            read_authorities([data])
    with refused(BadInput, "certificate.revocation-list"):
        read_revocation_list(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    with refused(BadInput, "certificate.unreadable"):
        read_certificates(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 2)


def test_certificates_that_all_issue_one_another_do_not_hold_a_verifier_up(
    keys: list[ec.EllipticCurvePrivateKey],
) -> None:
    ring = tuple(_certificate("CN=Ring", "CN=Ring", keys[1], keys[1], ca=True) for _ in range(40))
    leaf = _certificate("CN=Ada", "CN=Ring", keys[2], keys[1], ca=False)
    root = _certificate("CN=Root", "CN=Root", keys[0], keys[0], ca=True)
    started = time.process_time()
    assert "too many" in standing(leaf, ring, Authorities((root,)), LATER).fault
    assert time.process_time() - started < 2


def test_text_full_of_beginnings_is_read_in_a_moment() -> None:
    started = time.process_time()
    assert read_certificates(b"-----BEGIN CERTIFICATE-----\n" * 500_000) == ()
    assert read_certificates(b"-----BEGIN " * 1_000_000) == ()
    assert time.process_time() - started < 2


def test_a_signer_whose_extensions_cannot_be_read_leads_nowhere(
    authority: Authority, ada: Identity, keys: list[ec.EllipticCurvePrivateKey]
) -> None:
    certificate = certify(authority, ada)
    der = certificate.public_bytes(serialization.Encoding.DER)
    usage = bytes.fromhex("0603551d0f0101ff0404030206c0")  # keyUsage, critical, a BIT STRING
    assert usage in der
    broken = x509.load_der_x509_certificate(der.replace(usage, usage[:-4] + b"\xff\xff\xff\xff"))
    assert "cannot be read" in standing(broken, (), trusted(authority), LATER).fault
