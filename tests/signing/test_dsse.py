"""DSSE envelopes: the published vector, openssl as a second opinion, and attacks."""

from __future__ import annotations

import base64
import copy
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError, VerificationFailed
from forensic.signing.dsse import pre_authentication_encoding, sign_envelope, verify_envelope
from forensic.signing.identity import Identity

TYPE = "application/vnd.example+json"
PAYLOAD = b'{"hello":"world"}'


def test_the_published_vector_of_the_protocol() -> None:
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_count_bytes_not_letters() -> None:
    assert pre_authentication_encoding("é", "ž".encode()) == b"DSSEv1 2 \xc3\xa9 2 \xc5\xbe"


def test_an_envelope_verifies_and_says_where_its_certificate_came_from(identity: Identity) -> None:
    envelope = sign_envelope(TYPE, PAYLOAD, identity)
    alone = verify_envelope(envelope, payload_type=TYPE)
    assert (alone.payload, alone.trusted) == (PAYLOAD, False)
    assert alone.certificates == (identity.certificate,)
    trusted = verify_envelope(envelope, payload_type=TYPE, trusted={identity.key_id: identity.certificate})
    assert trusted.trusted is True


def test_openssl_verifies_the_signature_over_the_encoding(identity: Identity, tmp_path: Path) -> None:
    envelope = sign_envelope(TYPE, PAYLOAD, identity)
    (tmp_path / "certificate.pem").write_text(envelope["signatures"][0]["cert"])
    (tmp_path / "pae").write_bytes(pre_authentication_encoding(TYPE, base64.b64decode(envelope["payload"])))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    script = (
        "openssl x509 -in certificate.pem -noout -pubkey > public.pem && "
        "openssl dgst -sha256 -verify public.pem -signature sig pae"
    )
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "Verified OK"
    (tmp_path / "pae").write_bytes(b"DSSEv1 forged")
    assert subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True).returncode == 1


def test_an_envelope_without_certificate_needs_a_trusted_one(identity: Identity) -> None:
    envelope = sign_envelope(TYPE, PAYLOAD, identity, include_certificate=False)
    assert "cert" not in envelope["signatures"][0]
    with pytest.raises(VerificationFailed, match=r"dsse\.unknown-key"):
        verify_envelope(envelope, payload_type=TYPE)
    assert verify_envelope(envelope, payload_type=TYPE, trusted={identity.key_id: identity.certificate}).trusted


def test_a_stranger_with_the_same_name_is_not_trusted(identity: Identity, stranger: Identity) -> None:
    forged = sign_envelope(TYPE, PAYLOAD, stranger)
    with pytest.raises(VerificationFailed, match=r"dsse\.unknown-key"):
        verify_envelope(forged, payload_type=TYPE, trusted={identity.key_id: identity.certificate})


def test_a_stranger_cannot_borrow_the_key_id(identity: Identity, stranger: Identity) -> None:
    forged = sign_envelope(TYPE, PAYLOAD, stranger)
    forged["signatures"][0]["keyid"] = identity.key_id
    with pytest.raises(VerificationFailed, match=r"dsse\.certificate"):
        verify_envelope(forged, payload_type=TYPE)
    forged["signatures"][0]["cert"] = identity.certificate_pem
    with pytest.raises(VerificationFailed, match=r"dsse\.signature"):
        verify_envelope(forged, payload_type=TYPE)


def test_a_signature_for_one_type_is_none_for_another(identity: Identity) -> None:
    envelope = sign_envelope(TYPE, PAYLOAD, identity)
    with pytest.raises(BadInput, match=r"dsse\.payload-type"):
        verify_envelope(envelope, payload_type="text/plain")
    envelope["payloadType"] = "text/plain"
    with pytest.raises(VerificationFailed, match=r"dsse\.signature"):
        verify_envelope(envelope, payload_type="text/plain")


def test_every_signature_must_hold(identity: Identity, stranger: Identity) -> None:
    envelope = sign_envelope(TYPE, PAYLOAD, identity)
    envelope["signatures"] += sign_envelope(TYPE, PAYLOAD, stranger)["signatures"]
    assert len(verify_envelope(envelope, payload_type=TYPE).certificates) == 2
    envelope["signatures"][1]["sig"] = sign_envelope(TYPE, b"other", stranger)["signatures"][0]["sig"]
    with pytest.raises(VerificationFailed, match=r"dsse\.signature"):
        verify_envelope(envelope, payload_type=TYPE)


def _set(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(envelope: dict[str, Any]) -> None:
        target: Any = envelope
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("extra", value=1),
        _set("signatures", value=[]),
        _set("signatures", value=None),
        _set("signatures", value={"0": {}}),
        _set("signatures", 0, value="x"),
        _set("signatures", 0, "extra", value="x"),
        _set("signatures", 0, "keyid", value=5),
        _set("signatures", 0, "sig", value="!!!!"),
        _set("signatures", 0, "cert", value=None),
        _set("payload", value=None),
        _set("payload", value="e30"),
        _set("payload", value="e31="),  # stray bits: also decodes to {}
        _set("payload", value="e30=\n"),
        _set("payload", value="é"),
        lambda envelope: envelope.pop("payload"),
        lambda envelope: envelope["signatures"][0].pop("keyid"),
        lambda envelope: envelope["signatures"].extend(envelope["signatures"]),
        lambda envelope: envelope["signatures"].extend([envelope["signatures"][0]] * 20),
    ],
)
def test_an_envelope_of_another_shape_is_refused(identity: Identity, change: Callable[[dict[str, Any]], None]) -> None:
    envelope = sign_envelope(TYPE, PAYLOAD, identity)
    change(envelope)
    with pytest.raises(BadInput, match=r"dsse\.malformed"):
        verify_envelope(envelope, payload_type=TYPE)


@pytest.mark.parametrize("value", [None, [], "text", 5, {}])
def test_something_that_is_no_envelope_is_refused(value: Any) -> None:
    with pytest.raises(BadInput, match=r"dsse\.malformed"):
        verify_envelope(value, payload_type=TYPE)


@pytest.fixture
def signed_once(identity: Identity) -> dict[str, Any]:
    """One envelope for all examples of a test: an ECDSA signature differs from one signing to the next."""
    return sign_envelope(TYPE, PAYLOAD, identity)


@given(data=st.data())
def test_no_changed_character_anywhere_is_accepted(
    identity: Identity, signed_once: dict[str, Any], data: st.DataObject
) -> None:
    envelope = signed_once
    changed = copy.deepcopy(envelope)
    owner, key = data.draw(
        st.sampled_from([(changed, "payload"), (changed, "payloadType")])
        | st.sampled_from([(changed["signatures"][0], name) for name in ("sig", "keyid", "cert")])
    )
    text = owner[key]
    at = data.draw(st.integers(0, len(text) - 1))
    owner[key] = text[:at] + data.draw(st.characters(codec="utf-8").filter(lambda c: c != text[at])) + text[at + 1 :]
    with pytest.raises(ForensicError):
        verify_envelope(changed, payload_type=TYPE, trusted={identity.key_id: identity.certificate})
