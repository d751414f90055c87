"""RFC 3161: what an authority answers, what is kept of it, what holds and what counts. Peer: ``openssl ts``."""

from __future__ import annotations

import datetime as dt
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, core, tsp
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import ForensicError, UsageError
from forensic.signing.timestamp import (
    AcceptedResponse,
    accept_response,
    build_request,
    read_roots,
    verify_response,
    verify_token,
)
from forensic.signing.tokenform import canonical_token, response_around, token_of
from forensic.signing.tsa import TimestampAuthority
from tests.madeup_tsa import MadeUpTsa
from tests.tsa import REPLY, Answer, LocalTsa, openssl, openssl_agrees

DOCUMENT = b"a report"
DIGEST = hashlib.sha256(DOCUMENT).digest()


@pytest.fixture(scope="module", params=["ec", "rsa"])
def tsa(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalTsa:
    return LocalTsa(tmp_path_factory.mktemp("tsa") / "tsa", kind=request.param).make()


@pytest.fixture(scope="module")
def kept(tsa: LocalTsa) -> bytes:
    """A response in the form that is kept."""
    return accepted(tsa).response


def accepted(tsa: LocalTsa | MadeUpTsa, roots: bytes | None = None, digest: bytes = DIGEST) -> AcceptedResponse:
    request = build_request(digest)
    answer = tsa.honest(request.der) if isinstance(tsa, LocalTsa) else tsa.answer(request.der)
    return accept_response(answer, request, read_roots([] if roots is None else [roots]))


def code(action: Callable[[], Any]) -> str:
    with pytest.raises(ForensicError) as raised:
        action()
    return raised.value.code


def test_an_honest_answer_is_kept_and_openssl_agrees(tsa: LocalTsa, tmp_path: Path) -> None:
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    got = accepted(tsa, tsa.root_pem.read_bytes())
    stamp = got.timestamp
    assert before <= stamp.time <= dt.datetime.now(dt.UTC)
    assert stamp.trusted and stamp.tsa == "CN=Test TSA,O=Test" and stamp.accuracy_s == 1.0
    (tmp_path / "x.tsr").write_bytes(got.response)
    (tmp_path / "x").write_bytes(DOCUMENT)
    (tmp_path / "y").write_bytes(DOCUMENT + b"!")
    assert openssl_agrees(tmp_path / "x.tsr", tmp_path / "x", tsa.root_pem)
    assert not openssl_agrees(tmp_path / "x.tsr", tmp_path / "y", tsa.root_pem)
    told = openssl("ts", "-reply", "-in", tmp_path / "x.tsr", "-text").decode()
    assert f"{stamp.time:%b %e %H:%M:%S %Y} GMT" in told
    fingerprint = openssl("x509", "-in", tsa.certificate_pem, "-noout", "-fingerprint", "-sha256").decode()
    assert fingerprint.partition("=")[2].strip().replace(":", "").lower() == stamp.tsa_sha256


def test_a_request_is_understood_by_openssl(tmp_path: Path) -> None:
    request = build_request(DIGEST)
    (tmp_path / "q").write_bytes(request.der)
    told = openssl("ts", "-query", "-in", tmp_path / "q", "-text").decode()
    assert "Hash Algorithm: sha256" in told and f"Nonce: 0x{request.nonce:X}" in told
    assert "Certificate required: yes" in told


def test_trust_comes_from_the_verifier_alone(tsa: LocalTsa, kept: bytes, tmp_path: Path) -> None:
    assert not verify_response(kept, DIGEST).trusted
    assert verify_response(kept, DIGEST, read_roots([tsa.root_pem.read_bytes()])).trusted
    other = LocalTsa(tmp_path / "other").make()
    stamp = verify_response(kept, DIGEST, read_roots([other.root_pem.read_bytes()]))
    assert not stamp.trusted and "no path" in stamp.distrust
    both = read_roots([other.root_pem.read_bytes() + tsa.root_pem.read_bytes()])
    assert verify_response(kept, DIGEST, both).trusted


def test_another_document_is_refused(kept: bytes) -> None:
    assert code(lambda: verify_response(kept, hashlib.sha256(b"other").digest())) == "timestamp.imprint"


def test_another_requests_answer_is_refused(tsa: LocalTsa) -> None:
    old = tsa.honest(build_request(DIGEST).der)
    assert code(lambda: accept_response(old, build_request(DIGEST))) == "timestamp.nonce"


def test_an_authority_that_refuses_is_quoted(tsa: LocalTsa) -> None:
    request = tsp.TimeStampReq.load(build_request(DIGEST).der)
    request["req_policy"] = "1.2.3.4.5.6"
    with pytest.raises(ForensicError) as raised:
        accept_response(tsa.honest(request.dump(force=True)), build_request(DIGEST))
    assert raised.value.code == "timestamp.refused" and "rejection" in raised.value.message


# Bytes that nobody signed -----------------------------------------------------------------------------------------


def test_every_flipped_byte_is_found(kept: bytes) -> None:
    tried = 0
    for place in range(0, len(kept), 3):
        changed = bytearray(kept)
        changed[place] ^= 1 << (place // 3) % 8
        code(lambda data=bytes(changed): verify_response(data, DIGEST))  # type: ignore[misc]
        tried += 1
    assert tried > 400


@settings(max_examples=150)
@given(st.data())
def test_any_other_byte_anywhere_is_found(kept: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(kept) - 1))
    changed = bytearray(kept)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda value: value != kept[place]))
    code(lambda: verify_response(bytes(changed), DIGEST))


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"0\0"])
def test_bytes_after_the_end_are_found(kept: bytes, extra: bytes) -> None:
    assert code(lambda: verify_response(kept + extra, DIGEST)) == "timestamp.malformed"


def _with_unsigned_attribute(token: cms.ContentInfo) -> None:
    signer = token["content"]["signer_infos"][0]
    signer["unsigned_attrs"] = [cms.CMSAttribute({"type": "1.2.3.4", "values": [core.Integer(7)]})]


def _with_another_certificate(token: cms.ContentInfo) -> None:
    stranger = MadeUpTsa(name="Stranger")
    certificates = token["content"]["certificates"]
    certificates.append(cms.CertificateChoices({"certificate": _asn1(stranger.certificate)}))


def _asn1(certificate: x509.Certificate) -> Any:
    from asn1crypto import x509 as asn1_x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


@pytest.mark.parametrize("alter", [_with_unsigned_attribute, _with_another_certificate])
def test_what_nobody_signed_is_left_out_when_received_and_found_when_stored(
    kept: bytes, alter: Callable[[cms.ContentInfo], None]
) -> None:
    token = cms.ContentInfo.load(token_of(kept)[0])
    alter(token)
    altered = token.dump(force=True)
    form, left_out = canonical_token(altered)
    assert response_around(form) == kept and len(left_out) == 1
    assert code(lambda: verify_token(altered, {"sha256": DIGEST})) == "timestamp.malformed"


def test_a_status_text_is_left_out_when_received_and_found_when_stored(tsa: LocalTsa) -> None:
    request = build_request(DIGEST)
    answer = tsp.TimeStampResp.load(tsa.honest(request.der))
    answer["status"]["status_string"] = ["all is well"]
    got = accept_response(answer.dump(force=True), request)
    assert "status text" in got.left_out
    assert code(lambda: verify_response(answer.dump(force=True), DIGEST)) == "timestamp.malformed"


def test_another_name_for_the_same_algorithm_is_found(kept: bytes) -> None:
    """rsaEncryption for sha256WithRSAEncryption: verifiers take either, and nobody signed which."""
    token = cms.ContentInfo.load(token_of(kept)[0])
    signer = token["content"]["signer_infos"][0]
    before = signer["signature_algorithm"]["algorithm"].native
    other = {"rsassa_pkcs1v15": "sha256_rsa", "sha256_ecdsa": "sha384_ecdsa"}[before]
    signer["signature_algorithm"] = cms.SignedDigestAlgorithm({"algorithm": other})
    assert code(lambda: verify_token(token.dump(force=True), {"sha256": DIGEST})) == "timestamp.malformed"


@settings(max_examples=200)
@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_a_worded_error(data: bytes, framed: bool) -> None:
    content = response_around(data) if framed else data
    code(lambda: verify_response(content, DIGEST))
    code(lambda: accept_response(content, build_request(DIGEST)))


@settings(max_examples=80)
@given(st.data())
def test_mutated_answers_are_worded_errors_or_the_same_timestamp(kept: bytes, data: st.DataObject) -> None:
    """Pieces cut out, doubled, overwritten: never anything but an error of ours."""
    start = data.draw(st.integers(0, len(kept) - 1))
    end = data.draw(st.integers(start, min(len(kept), start + 60)))
    changed = kept[:start] + data.draw(st.binary(max_size=60)) + kept[end:]
    if changed != kept:
        code(lambda: verify_response(changed, DIGEST))


# Certificates -----------------------------------------------------------------------------------------------------


def test_another_makers_token_with_a_sha1_certificate_name_holds() -> None:
    """RFC 3161 of 2001: the signing certificate is named by SHA-1; SHA-256 came with RFC 5816."""
    tsa = MadeUpTsa()
    stamp = accepted(tsa, tsa.root).timestamp
    assert stamp.trusted and stamp.accuracy_s is None


def test_fractions_of_a_second_are_kept() -> None:
    """Cut off, the document would seem to exist before it was seen."""
    moment = dt.datetime(2026, 1, 1, 12, 0, 0, 125000, tzinfo=dt.UTC)
    stamp = accepted(MadeUpTsa(clock=moment)).timestamp
    assert stamp.time == moment and stamp.utc == "2026-01-01T12:00:00.125000Z"


@pytest.mark.parametrize(
    ("usage", "critical"),
    [
        (None, True),
        ((ExtendedKeyUsageOID.TIME_STAMPING,), False),
        ((ExtendedKeyUsageOID.CODE_SIGNING,), True),
        ((ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING), True),
    ],
)
def test_a_certificate_that_is_not_for_timestamping_alone_is_refused(usage: Any, critical: bool) -> None:
    tsa = MadeUpTsa(usage=usage, critical=critical)
    assert code(lambda: accepted(tsa, tsa.root)) == "timestamp.certificate"


@pytest.mark.parametrize("year", [2019, 2036])
def test_a_certificate_that_was_not_valid_then_is_refused(year: int) -> None:
    tsa = MadeUpTsa(
        clock=dt.datetime(year, 6, 1, tzinfo=dt.UTC),
        valid=(dt.datetime(2025, 1, 1, tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)),
    )
    assert code(lambda: accepted(tsa, tsa.root)) == "timestamp.certificate"


def test_a_certificate_that_has_expired_since_is_no_fault() -> None:
    tsa = MadeUpTsa(
        clock=dt.datetime(2021, 6, 1, tzinfo=dt.UTC),
        valid=(dt.datetime(2021, 1, 1, tzinfo=dt.UTC), dt.datetime(2022, 1, 1, tzinfo=dt.UTC)),
    )
    assert accepted(tsa, tsa.root).timestamp.trusted


def test_authorities_in_between_are_kept_only_with_the_way_to_the_root() -> None:
    """A certificate that nothing enclosed vouches for could be changed unnoticed: it is left out."""
    tsa = MadeUpTsa(between=1)
    whole = accepted(tsa, tsa.root)
    assert whole.timestamp.trusted
    tsa.enclosed = 1
    lone = accepted(tsa)
    assert "certificates that are not on a complete path" in lone.left_out
    assert not lone.timestamp.trusted
    completed = accepted(tsa, tsa.root)
    assert "certificates added from the settings" in completed.left_out and completed.timestamp.trusted
    assert len(completed.token) == len(whole.token)
    assert code(lambda: accepted(tsa, MadeUpTsa().root)) == "timestamp.untrusted"


@pytest.mark.parametrize(
    ("reason", "years_later", "stands"),
    [
        (None, 1, False),
        (x509.ReasonFlags.key_compromise, 1, False),
        (x509.ReasonFlags.superseded, 1, True),
        (x509.ReasonFlags.superseded, -1, False),
        (x509.ReasonFlags.cessation_of_operation, 1, True),
    ],
)
def test_a_revoked_authority(reason: x509.ReasonFlags | None, years_later: int, stands: bool) -> None:
    """RFC 3161, 4, 1): only an orderly revocation leaves standing what was stamped before."""
    tsa = MadeUpTsa(clock=dt.datetime(2025, 6, 1, tzinfo=dt.UTC))
    crl = tsa.revoked(dt.datetime(2025 + years_later, 6, 1, tzinfo=dt.UTC), reason)
    response = accepted(tsa).response
    stamp = verify_response(response, DIGEST, read_roots([tsa.root, crl]))
    assert stamp.trusted is stands
    assert stands or "revoked" in stamp.distrust
    forged = MadeUpTsa().revoked(dt.datetime(2021, 1, 1, tzinfo=dt.UTC), None)
    assert verify_response(response, DIGEST, read_roots([tsa.root, forged])).trusted


@pytest.mark.parametrize("enclosed", [0, 9])
def test_a_revoked_authority_in_between_is_found_where_the_token_leaves_it_out(enclosed: int) -> None:
    """The path is completed from the verifier's own file; what his list says about it counts all the same."""
    tsa = MadeUpTsa(between=1, enclosed=enclosed)
    response = accepted(tsa).response
    (between, root), when = tsa.chain, dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    trusted = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in (between, root)]
    assert verify_response(response, DIGEST, read_roots(trusted)).trusted
    stamp = verify_response(response, DIGEST, read_roots([*trusted, tsa.revoked(when, None, above=1)]))
    assert not stamp.trusted and "Made-up TSA 0 is revoked" in stamp.distrust
    stranger = MadeUpTsa(between=1).revoked(when, None, above=1)
    assert verify_response(response, DIGEST, read_roots([*trusted, stranger])).trusted


@pytest.mark.parametrize("data", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_roots_that_cannot_be_read_are_bad_usage(data: bytes) -> None:
    with pytest.raises(UsageError) as raised:
        read_roots([data])
    assert raised.value.code == "timestamp.roots"


# HTTP -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with LocalTsa(tmp_path_factory.mktemp("server") / "tsa") as tsa:
        yield tsa


def test_an_authority_is_asked_over_http(server: LocalTsa) -> None:
    server.answer = None
    got = TimestampAuthority(server.url, roots=read_roots([server.root_pem.read_bytes()])).stamp(DIGEST)
    assert got.timestamp.trusted
    sent = tsp.TimeStampReq.load(server.requests[-1])
    assert sent["message_imprint"]["hashed_message"].native == DIGEST


def _slow(_: bytes) -> Answer:
    time.sleep(2)
    return 200, REPLY, b""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda _: (200, REPLY, b"garbage"), "timestamp.malformed"),
        (lambda _: (200, REPLY, b""), "timestamp.malformed"),
        (lambda _: (200, {"Content-Type": "text/html"}, b"<html>log in</html>"), "timestamp.unreachable"),
        (lambda _: (302, {"Location": "file:///etc/passwd"}, b""), "timestamp.unreachable"),
        (lambda _: (307, {"Location": "http://127.0.0.1:1/"}, b""), "timestamp.unreachable"),
        (lambda _: (500, {}, b"down"), "timestamp.unreachable"),
        (lambda _: (200, REPLY, b"0" * (1 << 19)), "timestamp.unreachable"),
        (lambda _: (200, {**REPLY, "Content-Length": "5000"}, b"0\x82\x20\x20"), "timestamp.malformed"),
        (_slow, "timestamp.unreachable"),
    ],
)
def test_whatever_else_is_answered_is_a_worded_error(
    server: LocalTsa, answer: Callable[[bytes], Answer], expected: str
) -> None:
    server.answer = answer
    began = time.monotonic()
    assert code(lambda: TimestampAuthority(server.url, timeout_s=0.5).stamp(DIGEST)) == expected
    assert time.monotonic() - began < 1.5


def test_a_drip_of_bytes_does_not_hold_us(server: LocalTsa) -> None:
    """Every wait is short, and there is no end of them."""
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for _ in range(40):
                try:
                    connection.sendall(b"H")
                except OSError:
                    return
                time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    with listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert code(lambda: TimestampAuthority(url, timeout_s=0.6).stamp(DIGEST)) == "timestamp.unreachable"
    assert time.monotonic() - began < 1.5


def test_nobody_there_is_said_with_the_remedy() -> None:
    with pytest.raises(ForensicError) as raised:
        TimestampAuthority("http://127.0.0.1:1/", timeout_s=2).stamp(DIGEST)
    assert raised.value.code == "timestamp.unreachable" and "forensic anchor" in raised.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "ftp://tsa/", "file:///etc/passwd", "http://", "tsa.example", "http://a b/", "http://name:secret@tsa/",
        "http://tsa:99999/", "http://[::1", "http://tsa/\r\nX: y", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_bad_usage(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        TimestampAuthority(url)
    assert raised.value.code == "timestamp.url"


def test_nothing_of_it_is_loaded_where_no_timestamp_is() -> None:
    code_text = (
        "import sys; import forensic.cli.main, forensic.case.verify, forensic.case.verification.reports; "
        "print(sorted({'rfc3161_client', 'asn1crypto', 'urllib.request', 'http.client'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code_text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
