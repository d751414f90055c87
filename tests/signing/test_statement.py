"""in-toto statements: strict to build, strict to read."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError, InternalError, VerificationFailed
from forensic.hashes import canonical_json, sha256_bytes
from forensic.signing.identity import Identity
from forensic.signing.statement import (
    RUN_PREDICATE,
    STATEMENT_TYPE,
    STILL_PREDICATE,
    Subject,
    build_statement,
    parse_statement,
    sign_statement,
    verify_statement,
)

SUBJECTS = [Subject("output.mkv", "a" * 64), Subject("stills/000001.png", "b" * 64)]
DOC = Path(__file__).parents[2] / "docs" / "formats" / "attestation.md"


def raw(**changes: Any) -> bytes:
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "output.mkv", "digest": {"sha256": "a" * 64}}],
        "predicateType": RUN_PREDICATE,
        "predicate": {},
    }
    return canonical_json({**value, **changes})


def test_a_statement_round_trips() -> None:
    data = build_statement(RUN_PREDICATE, SUBJECTS, {"steps": [1, 2.5, None]})
    statement = parse_statement(data, predicate_type=RUN_PREDICATE)
    assert statement.subjects == tuple(SUBJECTS)
    assert statement.predicate == {"steps": [1, 2.5, None]}
    assert statement.sha256_of("output.mkv") == "a" * 64
    assert statement.sha256_of("missing") is None


def test_a_signed_statement_is_canonical_and_verifies(identity: Identity) -> None:
    data = sign_statement(build_statement(STILL_PREDICATE, SUBJECTS, {}), identity)
    assert canonical_json(json.loads(data)) == data
    statement, verified = verify_statement(data, predicate_type=STILL_PREDICATE)
    assert statement.subjects == tuple(SUBJECTS)
    assert verified.certificates == (identity.certificate,)
    with pytest.raises(BadInput, match=r"statement\.predicate-type"):
        verify_statement(data, predicate_type=RUN_PREDICATE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        raw() + b"\n",
        json.dumps(json.loads(raw())).encode(),
        raw()[:-1] + b',"extra":1}',
        raw(extra=1),
        raw(_type="https://in-toto.io/Statement/v0.1"),
        raw(predicateType=STILL_PREDICATE),
        raw(predicateType=None),
        raw(predicate=[]),
        raw(subject=[]),
        raw(subject={}),
        raw(subject=["output.mkv"]),
        raw(subject=[{"name": "", "digest": {"sha256": "a" * 64}}]),
        raw(subject=[{"name": 5, "digest": {"sha256": "a" * 64}}]),
        raw(subject=[{"name": "x", "digest": {"sha256": "A" * 64}}]),
        raw(subject=[{"name": "x", "digest": {"sha256": "a" * 64 + "\n"}}]),
        raw(subject=[{"name": "x", "digest": {"md5": "a" * 32}}]),
        raw(subject=[{"name": "x", "digest": {"sha256": "a" * 64, "md5": "a" * 32}}]),
        raw(subject=[{"name": "x", "digest": {"sha256": "a" * 64}}] * 2),
        b'{"_type":1,' * 5000,
        b"[" * 100_000,
    ],
)
def test_a_statement_of_another_shape_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        parse_statement(data, predicate_type=RUN_PREDICATE)


@pytest.mark.parametrize(
    ("subjects", "predicate"),
    [([], {}), ([Subject("x", "short")], {}), ([SUBJECTS[0]] * 2, {}), (SUBJECTS, {"x": float("nan")})],
)
def test_a_statement_that_nobody_could_read_is_not_built(subjects: list[Subject], predicate: dict[str, Any]) -> None:
    with pytest.raises(InternalError):
        build_statement(RUN_PREDICATE, subjects, predicate)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_arbitrary_bytes_are_refused_in_our_own_words(data: bytes) -> None:
    with pytest.raises(ForensicError):
        parse_statement(data, predicate_type=RUN_PREDICATE)
    with pytest.raises(ForensicError):
        verify_statement(data, predicate_type=RUN_PREDICATE)


@pytest.fixture
def signed_once(identity: Identity) -> bytes:
    """One attestation for all examples of a test: an ECDSA signature differs from one signing to the next."""
    return sign_statement(build_statement(RUN_PREDICATE, SUBJECTS, {}), identity)


@given(st.data())
def test_any_flipped_byte_of_an_attestation_is_found(
    identity: Identity, signed_once: bytes, data: st.DataObject
) -> None:
    attestation = bytearray(signed_once)
    at = data.draw(st.integers(0, len(attestation) - 1))
    attestation[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((BadInput, VerificationFailed)):
        verify_statement(
            bytes(attestation), predicate_type=RUN_PREDICATE, trusted={identity.key_id: identity.certificate}
        )


def test_the_commands_in_the_document_verify_a_real_attestation_and_fail_on_a_forged_one(
    identity: Identity, tmp_path: Path
) -> None:
    script = "set -euo pipefail\n" + "\n".join(re.findall(r"```sh\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL))
    output = b"pixels"
    (tmp_path / "output.mkv").write_bytes(output)
    statement = build_statement(RUN_PREDICATE, [Subject("output.mkv", sha256_bytes(output))], {})
    (tmp_path / "attestation.json").write_bytes(sign_statement(statement, identity))
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stdout
    assert "output.mkv: OK" in done.stdout
    assert identity.key_id in done.stdout

    forged = statement.replace(sha256_bytes(output).encode(), b"0" * 64)
    envelope = json.loads(sign_statement(forged, identity))
    envelope["signatures"] = json.loads(sign_statement(statement, identity))["signatures"]
    (tmp_path / "attestation.json").write_bytes(canonical_json(envelope))
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Verified OK" not in done.stdout
