"""Identities: made once, protected, readable by openssl, accepted for PAdES, refused when damaged."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import stat
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from forensic.errors import BadInput, ForensicError, StorageFailed, UsageError, VerificationFailed
from forensic.signing.certificate import (
    certificate_facts,
    distinguished_name,
    read_certificate,
    signature_is_valid,
    signer_certificate,
)
from forensic.signing.identity import Identity, create_identity, load_identity, self_issued
from forensic.signing.signer import FileKey
from tests.signing.conftest import NOW


def make(folder: Path, passphrase: str | None = None, examiner: str = "Ada", lab: str = "Lab 7") -> Identity:
    return create_identity(folder, examiner=examiner, lab=lab, passphrase=passphrase, now=NOW)


def refused(kind: type[ForensicError], code: str):
    return pytest.raises(kind, match=rf"^\[{code}\]")


def test_an_unprotected_identity_round_trips_and_says_so(folder: Path) -> None:
    made = make(folder)
    loaded = load_identity(folder)
    assert loaded.facts() == made.facts()
    assert loaded.facts()["protection"] == "none"
    assert loaded.facts()["kind"] == loaded.kind == "self-issued"
    assert signature_is_valid(made.certificate, loaded.sign(b"data"), b"data")
    assert not signature_is_valid(made.certificate, loaded.sign(b"data"), b"Data")


def test_a_passphrase_protects_the_key_and_openssl_opens_it(folder: Path) -> None:
    made = make(folder, "čtyři koně")
    assert load_identity(folder, lambda: "čtyři koně").facts() == made.facts()
    assert made.protection == "passphrase"
    opened = subprocess.run(
        ["openssl", "pkey", "-in", folder / "key.pem", "-passin", "env:PASS", "-pubout"],
        env={**os.environ, "PASS": "čtyři koně"},
        capture_output=True,
        check=True,
    )
    assert b"PUBLIC KEY" in opened.stdout


def test_a_passphrase_typed_in_decomposed_letters_opens_the_key(folder: Path) -> None:
    make(folder, "caf\u00e9")
    assert load_identity(folder, lambda: "cafe\u0301").protection == "passphrase"


@pytest.mark.parametrize("attempt", ["wrong", "", "Secret ", "\ud800", "x" * 2000])
def test_a_wrong_passphrase_is_a_clear_error(folder: Path, attempt: str) -> None:
    make(folder, "Secret")
    with refused(UsageError, "identity.passphrase"):
        load_identity(folder, lambda: attempt)


def test_a_protected_key_with_nobody_to_ask_is_a_clear_error(folder: Path) -> None:
    make(folder, "Secret")
    with refused(UsageError, "identity.passphrase"):
        load_identity(folder)


def test_an_empty_passphrase_is_refused_rather_than_taken_for_none(folder: Path) -> None:
    with refused(UsageError, "identity.passphrase"):
        make(folder, "")
    assert not folder.exists()


def test_the_key_file_is_readable_by_its_owner_only_whatever_the_umask(folder: Path) -> None:
    previous = os.umask(0)
    try:
        make(folder)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_existing_identity_is_never_overwritten_and_nothing_is_left_behind(folder: Path) -> None:
    make(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with refused(UsageError, "identity.exists"):
        make(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def _race(folder: Path, results: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    try:
        results.put(make(folder).key_id)
    except UsageError as error:
        results.put(error.code)


def test_of_several_processes_creating_at_once_exactly_one_wins(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_race, args=(folder, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    outcomes = [results.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join()
    assert outcomes.count("identity.exists") == 3
    assert load_identity(folder).key_id in outcomes


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "two\nlines", "nul\0", "\ud800"])
def test_a_name_that_no_certificate_can_hold_is_refused(folder: Path, name: str) -> None:
    with refused(UsageError, "identity.name"):
        make(folder, examiner=name)
    with refused(UsageError, "identity.time"):
        create_identity(folder, examiner="Ada", lab="", passphrase=None, now=NOW.replace(tzinfo=None))


def test_names_in_any_script_stand_in_the_certificate_and_openssl_reads_them(folder: Path) -> None:
    made = make(folder, examiner="鑑識 Ωmega", lab="Łódź, Oddział = 7")
    show = ["openssl", "x509", "-in", folder / "certificate.pem", "-noout", "-subject"]
    show += ["-nameopt", "RFC2253,-esc_msb,utf8"]
    text = subprocess.run(show, capture_output=True, check=True, encoding="utf-8").stdout.strip()
    assert text == f"subject={made.subject}"
    assert "鑑識 Ωmega" in made.subject


def test_openssl_agrees_on_fingerprint_key_id_dates_and_usage(folder: Path) -> None:
    facts = make(folder).facts()
    shell = f"cd '{folder}' && "
    commands = {
        "certificate_sha256": "openssl x509 -in certificate.pem -outform DER | sha256sum",
        "key_id": "openssl x509 -in certificate.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum",
    }
    for fact, command in commands.items():
        out = subprocess.run(["bash", "-c", shell + command], capture_output=True, check=True, text=True).stdout
        assert out.split()[0] == facts[fact]
    assert (facts["not_before"], facts["not_after"]) == ("2026-03-01T12:00:00Z", "2036-02-29T12:00:00Z")
    show = ["openssl", "x509", "-in", folder / "certificate.pem", "-noout", "-text"]
    text = subprocess.run(show, capture_output=True, check=True, text=True).stdout
    assert "Digital Signature, Non Repudiation" in text
    assert "CA:FALSE" in text


def test_the_identity_signs_a_pdf_that_pdfsig_accepts(tmp_path: Path, folder: Path) -> None:
    from asn1crypto import keys
    from asn1crypto import x509 as asn1_x509
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import fields, signers
    from pyhanko_certvalidator.registry import SimpleCertificateStore
    from reportlab.pdfgen.canvas import Canvas

    made = make(folder)
    page = BytesIO()
    canvas = Canvas(page)
    canvas.drawString(72, 720, "signed")
    canvas.save()
    signer = signers.SimpleSigner(
        signing_cert=asn1_x509.Certificate.load(made.certificate_der),
        signing_key=keys.PrivateKeyInfo.load(
            made.signer.private_key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        ),
        cert_registry=SimpleCertificateStore(),
    )
    meta = signers.PdfSignatureMetadata(
        field_name="Signature", subfilter=fields.SigSeedSubFilter.PADES, md_algorithm="sha256"
    )
    signed = tmp_path / "signed.pdf"
    signed.write_bytes(signers.sign_pdf(IncrementalPdfFileWriter(page), meta, signer=signer).getvalue())
    out = subprocess.run(["pdfsig", "-nocert", signed], capture_output=True, text=True).stdout
    assert "Signature is Valid" in out
    assert "Ada" in out


def _install(folder: Path, key: object, certificate: x509.Certificate) -> None:
    folder.mkdir()
    pem = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(pem)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def test_an_ed25519_identity_loads_and_signs(folder: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    _install(folder, key, self_issued(FileKey(key, "none"), name="Ada", lab="", now=NOW))
    loaded = load_identity(folder)
    assert loaded.facts()["algorithm"] == "Ed25519"
    assert len(loaded.sign(b"data")) == 64
    assert signature_is_valid(loaded.certificate, loaded.sign(b"data"), b"data")
    assert not signature_is_valid(loaded.certificate, b"short", b"data")


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_any_other_kind_of_key_is_refused(folder: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    name = distinguished_name("Ada", "")
    builder = signer_certificate(key.public_key(), name, name, NOW, NOW + dt.timedelta(days=1))  # type: ignore[arg-type]
    certificate = builder.sign(key, hashes.SHA256())
    _install(folder, key, certificate)
    with refused(BadInput, "identity.algorithm"):
        load_identity(folder)
    with refused(BadInput, "certificate.algorithm"):
        read_certificate(certificate.public_bytes(serialization.Encoding.PEM))


def test_a_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    (tmp_path / "a" / "certificate.pem").write_bytes((tmp_path / "b" / "certificate.pem").read_bytes())
    with refused(VerificationFailed, "identity.mismatch"):
        load_identity(tmp_path / "a")


def test_a_certificate_issued_by_somebody_else_is_not_called_self_issued(folder: Path) -> None:
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string("CN=Ada"))
        .issuer_name(x509.Name.from_rfc4514_string("CN=State CA"))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .sign(authority, hashes.SHA256())
    )
    _install(folder, key, certificate)
    assert load_identity(folder).kind == "issued"


def test_a_certificate_that_only_claims_to_have_signed_itself_is_refused(folder: Path) -> None:
    other, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name.from_rfc4514_string("CN=Ada")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + dt.timedelta(days=1))
    _install(folder, key, builder.sign(other, hashes.SHA256()))
    with refused(BadInput, "certificate.self-signature"):
        load_identity(folder)


@pytest.mark.parametrize("damage", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_damaged_files_are_reported_not_raised_as_tracebacks(folder: Path, damage: bytes) -> None:
    make(folder)
    certificate = (folder / "certificate.pem").read_bytes()
    (folder / "certificate.pem").write_bytes(damage)
    with refused(BadInput, "certificate.unreadable"):
        load_identity(folder)
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(damage)
    with refused(BadInput, "identity.unreadable"):
        load_identity(folder)


def test_two_certificates_or_text_around_one_are_refused(identity: Identity) -> None:
    pem = identity.certificate_pem
    assert certificate_facts(read_certificate(pem))["key_id"] == identity.key_id
    for text in (pem + pem, "note\n" + pem, pem + "\n", pem.replace("\n", "\n\n", 1), pem.rstrip(), "ä" + pem):
        with refused(BadInput, "certificate.unreadable"):
            read_certificate(text)


def test_a_missing_or_half_identity_says_what_to_do(folder: Path) -> None:
    with refused(UsageError, "identity.missing"):
        load_identity(folder)
    make(folder)
    (folder / "certificate.pem").unlink()
    with refused(UsageError, "identity.missing"):
        load_identity(folder)


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with refused(StorageFailed, "identity.storage"):
        make(tmp_path / "file" / "identity")


def test_facts_hold_no_secret(folder: Path) -> None:
    made = make(folder, "hunter2")
    secret = made.signer.private_key.private_numbers().private_value  # type: ignore[union-attr]
    text = repr(made) + repr(made.facts())
    assert "hunter2" not in text
    assert f"{secret:x}" not in text
    assert str(secret) not in text
