"""Key files: expensive to guess, standard enough for openssl, and older ones still open."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput, UsageError
from forensic.signing.certificate import public_key_id
from forensic.signing.keyfile import SCRYPT_N, SCRYPT_P, SCRYPT_R, read_private_key, write_private_key


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_openssl_sees_scrypt_with_our_costs_and_opens_the_key(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(write_private_key(key, "correct horse"))
    shown = subprocess.run(["openssl", "asn1parse", "-in", path], capture_output=True, text=True, check=True).stdout
    assert "PBES2" in shown and "scrypt" in shown and "aes-256-cbc" in shown
    for cost in (SCRYPT_N, SCRYPT_R, SCRYPT_P):
        assert f":{cost:02X}\n" in shown
    opened = subprocess.run(
        ["openssl", "pkey", "-in", path, "-passin", "stdin", "-pubout", "-outform", "DER"],
        input=b"correct horse\n", capture_output=True, check=True,
    )  # fmt: skip
    public = serialization.load_der_public_key(opened.stdout)
    assert public_key_id(public) == public_key_id(key.public_key())  # type: ignore[arg-type]


def test_a_key_that_openssl_or_the_first_release_protected_still_opens() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    older = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    assert read_private_key(older, "secret", "here").public_key() == key.public_key()


def test_one_guess_takes_a_tenth_of_a_second_at_least() -> None:
    pem = write_private_key(ec.generate_private_key(ec.SECP256R1()), "secret")
    started = time.process_time()
    with pytest.raises(UsageError):
        read_private_key(pem, "guess", "here")
    assert time.process_time() - started > 0.05  # half of it, for faster machines to come


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_damaged_key_file_is_a_clear_error_and_never_another_key(place: float, bit: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = bytearray(write_private_key(key, None))
    pem[int(place * len(pem))] ^= 1 << bit
    try:
        opened = read_private_key(bytes(pem), None, "here")
    except BadInput as error:
        assert error.code in ("identity.unreadable", "identity.algorithm")
    except UsageError as error:
        assert error.code == "identity.passphrase"
    else:
        assert opened.public_key() == key.public_key()
