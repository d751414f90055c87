"""PAdES B-B, B-T, B-LT, B-LTA: ours, pdfsig's and pyHanko's view; what else may stand in the file: nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import io
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from hypothesis import given, settings
from hypothesis import strategies as st
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.ades import ades_lta_validation
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager

from forensic.errors import BadInput, ForensicError, VerificationFailed
from forensic.report.longterm import with_validation_data
from forensic.report.verification import check_report
from forensic.signing.authority import revoke
from forensic.signing.identity import create_identity
from forensic.signing.timestamp import read_roots
from forensic.signing.validationdata import ValidationData
from tests.report.files import add_document_timestamp, sign_pdf
from tests.report.levels import Laboratory, contents, token_in, with_certificate, with_token
from tests.tsa import LocalTsa, openssl

Damage = Callable[[bytes], Path]
LEVELS = ("B-B", "B-T", "B-LT", "B-LTA")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("lab")
    return Laboratory(folder, LocalTsa(folder / "tsa"))


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory, lab: Laboratory, unsigned: Path) -> dict[str, Path]:
    """The same report at every level; read only."""
    return {level: lab.sign(unsigned, tmp_path_factory.mktemp("levels"), level) for level in LEVELS}


def _pdfsig(path: Path) -> str:
    return subprocess.run(["pdfsig", str(path)], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("level", LEVELS)
def test_each_level_is_sound_and_named(reports: dict[str, Path], lab: Laboratory, level: str) -> None:
    check = check_report(reports[level], read_roots([lab.tsa.root_pem.read_bytes()]))
    assert check.findings == [] and check.level == level and check.sound
    assert check.intact and check.valid and check.covers_whole_document and check.certified_no_changes
    assert len(check.chain) == 2  # the signer and the laboratory's authority
    stamped = check.signature_timestamp
    assert (stamped is not None) == (level != "B-B")
    assert stamped is None or stamped.trusted
    assert (check.document_timestamp is not None) == (level == "B-LTA")
    assert check_report(reports[level]).sound  # without any trust, too


@pytest.mark.parametrize("level", LEVELS)
def test_pdfsig_agrees(reports: dict[str, Path], level: str) -> None:
    told = _pdfsig(reports[level])
    assert "Signature is Valid." in told and "ETSI.CAdES.detached" in told
    assert "Signing Time: " in told
    assert told.count("Signature #") == (2 if level == "B-LTA" else 1)
    # What was added after the signature is covered by the document timestamp, or by nothing (B-LT).
    assert told.count("  - Total document signed") == (0 if level == "B-LT" else 1)


def _pyhanko_trust(lab: Laboratory) -> list[Any]:
    texts = [lab.identity.chain_pem[0].encode(), lab.tsa.root_pem.read_bytes()]
    return [asn1_x509.Certificate.load(pem.unarmor(text)[2]) for text in texts]


@pytest.mark.parametrize("level", ["B-LT", "B-LTA"])
def test_pyhanko_needs_no_network_to_find_nobody_revoked(reports: dict[str, Path], lab: Laboratory, level: str) -> None:
    with reports[level].open("rb") as stream:
        reader = PdfFileReader(stream)
        context = DocumentSecurityStore.read_dss(reader).as_validation_context(
            {"trust_roots": _pyhanko_trust(lab), "revocation_mode": "require", "allow_fetching": False}
        )
        status = validate_pdf_signature(
            reader.embedded_regular_signatures[0],
            signer_validation_context=context,
            ts_validation_context=context,
        )
    assert status.bottom_line and status.trusted and status.timestamp_validity.trusted


def test_pyhankos_full_validation_passes_for_b_lta(reports: dict[str, Path], lab: Laboratory) -> None:
    """ETSI EN 319 102-1, validation of signatures with archive data."""
    policy = CertValidationPolicySpec(
        trust_manager=SimpleTrustManager.build(trust_roots=_pyhanko_trust(lab)),
        revinfo_policy=CertRevTrustPolicy(REQUIRE_REVINFO),
    )
    gathering = RevocationInfoGatheringSpec(online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY)
    spec = PdfSignatureValidationSpec(
        SignatureValidationSpec(cert_validation_policy=policy, revinfo_gathering_policy=gathering)
    )
    with reports["B-LTA"].open("rb") as stream:
        signature = PdfFileReader(stream).embedded_regular_signatures[0]
        result = asyncio.run(ades_lta_validation(signature, spec))
    assert result.ades_subindic.standard_name == "PASSED" or "OK" in str(result.ades_subindic)
    ours = check_report(reports["B-LTA"]).signature_timestamp
    assert ours is not None and result.best_signature_time == ours.time


@pytest.mark.parametrize("level", ["B-T", "B-LT", "B-LTA"])
def test_openssl_agrees_on_the_tokens_inside(
    reports: dict[str, Path], lab: Laboratory, tmp_path: Path, level: str
) -> None:
    pdf = reports[level].read_bytes()
    check = check_report(reports[level])
    assert check.signature is not None
    tokens = [(token_in(pdf), hashlib.sha256(check.signature).hexdigest())]
    if level == "B-LTA":
        start, end = contents(pdf, 1)
        covered = pdf[: start - 1] + pdf[end + 1 :]
        tokens.append((bytes.fromhex(pdf[start:end].decode()).rstrip(b"\0"), hashlib.sha256(covered).hexdigest()))
    for token, digest in tokens:
        (tmp_path / "token").write_bytes(token)
        where = ["-in", tmp_path / "token", "-token_in", "-CAfile", lab.tsa.root_pem]
        openssl("ts", "-verify", "-digest", digest, *where)


def test_the_document_is_the_same_at_every_level(reports: dict[str, Path], unsigned: Path) -> None:
    body = unsigned.read_bytes()
    assert all(path.read_bytes().startswith(body) for path in reports.values())


# Every byte -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["B-T", "B-LT", "B-LTA"])
def test_a_flipped_byte_after_the_document_is_found(
    reports: dict[str, Path], unsigned: Path, damaged: Damage, level: str
) -> None:
    """Signature value, timestamp, validation data, document timestamp, and all that holds them together."""
    original = reports[level].read_bytes()
    body = unsigned.stat().st_size
    # Most bytes are the zeros after a value; a few of them stand for all.
    dense = [at for at in range(body, len(original)) if original[at - 8 : at + 8] != b"0" * 16]
    padding = [at for at in range(body, len(original)) if original[at - 8 : at + 8] == b"0" * 16]
    draw = random.Random(level)
    places = draw.sample(dense, 45) + draw.sample(padding, 5)
    for place in places:
        changed = bytearray(original)
        changed[place] ^= draw.choice((1, 2, 4, 8, 16, 32, 64, 128, 0x0A))
        assert not check_report(damaged(bytes(changed))).sound, (place, original[place - 20 : place + 20])


@settings(max_examples=20)
@given(st.data())
def test_a_changed_byte_anywhere_is_found(
    reports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    original = reports["B-LTA"].read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != original[place]))
    path = tmp_path_factory.getbasetemp() / "changed.pdf"
    path.write_bytes(changed)
    assert not check_report(path).sound


@pytest.mark.parametrize("level", ["B-T", "B-LT", "B-LTA"])
@pytest.mark.parametrize("extra", [b"\n", b"%%EOF\n", b"\0" * 50])
def test_appended_bytes_are_found(reports: dict[str, Path], damaged: Damage, level: str, extra: bytes) -> None:
    assert not check_report(damaged(reports[level].read_bytes() + extra)).sound


@pytest.mark.parametrize("level", ["B-LT", "B-LTA"])
def test_a_file_cut_after_a_revision_has_the_lower_level(reports: dict[str, Path], damaged: Damage, level: str) -> None:
    """What was added later can be taken away again; what is left is what it was before, and no more."""
    original = reports[level].read_bytes()
    ends = [at + 6 for at in range(len(original)) if original[at : at + 6] == b"%%EOF\n"]
    below = {len(ends) - 1: LEVELS[LEVELS.index(level)], len(ends) - 2: LEVELS[LEVELS.index(level) - 1]}
    for place, expected in below.items():
        check = check_report(damaged(original[: ends[place]]))
        assert check.sound and check.level == expected


# Timestamps -------------------------------------------------------------------------------------------------------


def test_a_stripped_timestamp_lowers_the_level(reports: dict[str, Path], damaged: Damage) -> None:
    check = check_report(damaged(with_token(reports["B-T"].read_bytes())))
    assert check.sound and check.level == "B-B" and check.signature_timestamp is None


def test_the_same_timestamp_put_back_is_the_same_file(reports: dict[str, Path], damaged: Damage) -> None:
    """The surgery of these tests itself leaves no trace that a check could stumble over."""
    original = reports["B-T"].read_bytes()
    assert with_token(with_token(original), token_in(original)) == original


def test_the_timestamp_of_another_signature_is_found(
    reports: dict[str, Path], lab: Laboratory, damaged: Damage
) -> None:
    other = lab.stamp(hashlib.sha256(b"another signature").digest())
    check = check_report(damaged(with_token(reports["B-T"].read_bytes(), other)))
    assert not check.sound and any("another document" in finding for finding in check.timestamp_findings)


def test_two_timestamps_are_found(reports: dict[str, Path], damaged: Damage) -> None:
    original = reports["B-T"].read_bytes()
    token = token_in(original)
    assert not check_report(damaged(with_token(original, token, token))).sound


def test_another_unsigned_attribute_is_found(reports: dict[str, Path], damaged: Damage) -> None:
    assert not check_report(damaged(with_token(reports["B-B"].read_bytes(), b"\x02\x01\x01", kind="1.2.3.4"))).sound


def test_a_further_certificate_in_the_signature_is_found(
    reports: dict[str, Path], lab: Laboratory, damaged: Damage
) -> None:
    stranger = pem.unarmor(lab.tsa.certificate_pem.read_bytes())[2]
    assert not check_report(damaged(with_certificate(reports["B-T"].read_bytes(), stranger))).sound


def test_an_incomplete_chain_is_left_out(lab: Laboratory, unsigned: Path, tmp_path: Path) -> None:
    """The authority's own certificate is missing: nothing would vouch for the one in between."""
    sign_pdf(unsigned, tmp_path / "x.pdf", lab.identity, reason="x", when=dt.datetime.now(dt.UTC), chain=[])
    check = check_report(tmp_path / "x.pdf")
    assert check.sound and len(check.chain) == 1


def test_a_token_that_fails_leaves_no_file(lab: Laboratory, unsigned: Path, tmp_path: Path) -> None:
    def refuse(_: bytes) -> bytes:
        raise VerificationFailed("timestamp.refused", "no")

    def enormous(_: bytes) -> bytes:
        return bytes(20000)

    for stamp, code in ((refuse, "timestamp.refused"), (enormous, "timestamp.size")):
        with pytest.raises(ForensicError) as raised:
            sign_pdf(unsigned, tmp_path / "x.pdf", lab.identity, reason="x", when=dt.datetime.now(dt.UTC), stamp=stamp)
        assert raised.value.code == code and not (tmp_path / "x.pdf").exists()


def test_an_ed25519_signature_is_timestamped_too(lab: Laboratory, unsigned: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    from forensic.signing.identity import Identity, self_issued
    from forensic.signing.signer import FileKey

    key = ed25519.Ed25519PrivateKey.generate()
    certificate = self_issued(FileKey(key, "none"), name="Ed", lab="Lab", now=lab.began)
    identity = Identity(FileKey(key, "none"), certificate)
    sign_pdf(unsigned, tmp_path / "ed.pdf", identity, reason="x", when=dt.datetime.now(dt.UTC), stamp=lab.stamp)
    check = check_report(tmp_path / "ed.pdf")
    assert check.findings == [] and check.level == "B-T"


# Revisions --------------------------------------------------------------------------------------------------------


def _material(lab: Laboratory, report: Path) -> ValidationData:
    return lab.validation_data(token_in(report.read_bytes()))


def test_validation_data_are_made_again_to_the_byte(reports: dict[str, Path], lab: Laboratory) -> None:
    data = _material(lab, reports["B-LT"])
    start = reports["B-LT"].read_bytes()
    first = start.index(b"%%EOF\n", contents(start)[1]) + 6
    assert with_validation_data(start[:first], data) == start


@pytest.mark.parametrize("which", ["certificate missing", "list missing", "list twice", "stranger", "order"])
def test_other_validation_data_are_found(
    reports: dict[str, Path], lab: Laboratory, damaged: Damage, which: str
) -> None:
    signed, data = reports["B-T"].read_bytes(), _material(lab, reports["B-T"])
    certificates, lists = data.certificates, data.lists
    stranger = create_identity(
        lab.folder / f"stranger-{which}", examiner="S", lab="S", passphrase=None, now=lab.began
    ).certificate_der
    changed = {
        "certificate missing": ValidationData(certificates[1:], lists),
        "list missing": ValidationData(certificates, lists[1:]),
        "list twice": ValidationData(certificates, (*lists, lists[0])),
        "stranger": ValidationData(tuple(sorted((*certificates, stranger))), lists),
        "order": ValidationData(certificates[::-1], lists),
    }[which]
    assert check_report(damaged(with_validation_data(signed, data))).sound
    check = check_report(damaged(with_validation_data(signed, changed)))
    assert not check.sound and any("alidation data" in finding for finding in check.findings)


def test_validation_data_without_a_timestamp_are_found(
    reports: dict[str, Path], lab: Laboratory, damaged: Damage
) -> None:
    data = _material(lab, reports["B-T"])
    assert not check_report(damaged(with_validation_data(reports["B-B"].read_bytes(), data))).sound


def test_validation_data_twice_are_found(reports: dict[str, Path], lab: Laboratory, damaged: Damage) -> None:
    once = reports["B-LT"].read_bytes()
    with pytest.raises(BadInput):
        with_validation_data(once, _material(lab, reports["B-LT"]))
    twice = io.BytesIO()
    writer = IncrementalPdfFileWriter(io.BytesIO(once))
    writer.root["/DSS"]["/Certs"].append(writer.root["/DSS"]["/Certs"].raw_get(0))
    writer.update_container(writer.root["/DSS"])
    writer.write(twice)
    assert not check_report(damaged(twice.getvalue())).sound


@pytest.mark.parametrize("level", ["B-B", "B-T", "B-LTA"])
def test_a_document_timestamp_where_none_belongs_is_found(
    reports: dict[str, Path], lab: Laboratory, tmp_path: Path, level: str
) -> None:
    """Without validation data before it, or a second one after it."""
    import forensic.report.signature as module

    before = module.TIMESTAMP_FIELD
    try:
        module.TIMESTAMP_FIELD = "Another"
        add_document_timestamp(reports[level], tmp_path / "x.pdf", lab.stamp)
    finally:
        module.TIMESTAMP_FIELD = before
    check = check_report(tmp_path / "x.pdf")
    assert not check.sound and any("revisions" in finding for finding in check.findings)


@pytest.mark.parametrize("level", ["B-T", "B-LT", "B-LTA"])
def test_an_incremental_update_is_found(reports: dict[str, Path], damaged: Damage, level: str) -> None:
    writer = IncrementalPdfFileWriter(io.BytesIO(reports[level].read_bytes()))
    writer.root["/Lang"] = writer.root["/Lang"].__class__("xx")
    writer.update_root()
    out = io.BytesIO()
    writer.write(out)
    assert not check_report(damaged(out.getvalue())).sound


def test_a_change_hidden_in_the_revision_of_the_document_timestamp_is_found(
    reports: dict[str, Path], lab: Laboratory, tmp_path: Path
) -> None:
    """The attacker stamps his own change: the timestamp covers it, the certification does not allow it."""
    from pyhanko.sign.signers import PdfTimeStamper

    from forensic.report.signature import _stamper

    writer = IncrementalPdfFileWriter(io.BytesIO(reports["B-LT"].read_bytes()))
    page = writer.root["/Pages"]["/Kids"].raw_get(0).get_object()
    page["/Rotate"] = page["/Rotate"].__class__(180)
    writer.update_container(page)
    out = io.BytesIO()
    PdfTimeStamper(_stamper(lab.stamp), field_name="ForensicTimestamp").timestamp_pdf(writer, "sha256", output=out)
    (tmp_path / "x.pdf").write_bytes(out.getvalue())
    check = check_report(tmp_path / "x.pdf")
    assert not check.sound and any("modified" in finding for finding in check.findings)


# What must be there for B-LT --------------------------------------------------------------------------------------


def test_missing_revocation_data_are_named(reports: dict[str, Path], lab: Laboratory) -> None:
    from forensic.signing.validationdata import gather

    token = lab.stamp(hashlib.sha256(b"x").digest())
    roots = read_roots([lab.tsa.root_pem.read_bytes()]).certificates
    for lists, name in ((lab.lists[:1], "Test TSA"), (lab.lists[1:], "Ada Examiner"), ([], "Ada Examiner")):
        with pytest.raises(VerificationFailed) as raised:
            gather(lab.identity.certificate_pem, lab.identity.chain_pem, token, lists, roots)
        assert raised.value.code == "validation-data.incomplete" and name in raised.value.message


def test_a_revoked_signer_gets_no_validation_data(tmp_path: Path, lab: Laboratory) -> None:
    own = Laboratory(tmp_path, lab.tsa)
    revoke(
        own.authority, f"{own.identity.certificate.serial_number:x}", reason="key-compromise", days=30, now=own.began
    )
    token = own.stamp(hashlib.sha256(b"x").digest())
    with pytest.raises(VerificationFailed) as raised:
        own.validation_data(token)
    assert "revoked" in raised.value.message


def test_a_self_issued_signer_needs_no_list_of_his_own(lab: Laboratory, tmp_path: Path) -> None:
    from forensic.signing.validationdata import gather

    alone = create_identity(tmp_path / "id", examiner="Solo", lab="", passphrase=None, now=lab.began)
    roots = read_roots([lab.tsa.root_pem.read_bytes()]).certificates
    token = lab.stamp(hashlib.sha256(b"x").digest())
    data = gather(alone.certificate_pem, [], token, [lab.tsa.crl_pem.read_bytes()], roots)
    assert len(data.certificates) == 3 and len(data.lists) == 1
