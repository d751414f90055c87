"""Keys on a PKCS#11 token (SoftHSM2): used, never read out, and not mistaken for another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensic.errors import BadInput, ForensicError, UsageError, VerificationFailed
from forensic.signing.authority import certificate_request
from forensic.signing.certificate import signature_is_valid
from forensic.signing.identity import Identity, create_identity, create_token_identity, load_identity
from forensic.signing.token import TokenPlace, generate_on_token, open_token, read_token_description
from tests.signing.conftest import NOW
from tests.tokens import LABEL, PIN, make_token, softhsm_module


def refused(kind: type[ForensicError], code: str):
    return pytest.raises(kind, match=rf"^\[{code}\]")


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """SoftHSM reads its configuration once per process: one token for all tests in here."""
    environment = make_token(tmp_path_factory.mktemp("softhsm"))
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ.update(environment)
    yield environment
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture(scope="session")
def place(token: dict[str, str]) -> TokenPlace:
    made = TokenPlace(softhsm_module(), token_label=LABEL, key_label="ada", key_id="01")
    generate_on_token(made, PIN)
    return made


@pytest.fixture
def on_token(place: TokenPlace, folder: Path) -> Identity:
    return create_token_identity(folder, place, PIN, examiner="Ada", lab="Lab 7", now=NOW)


def test_an_identity_on_a_token_signs_and_loads_again(on_token: Identity, folder: Path) -> None:
    loaded = load_identity(folder, lambda: PIN)
    assert loaded.facts() == on_token.facts()
    assert loaded.facts()["protection"] == "token"
    assert signature_is_valid(on_token.certificate, loaded.sign(b"data"), b"data")
    assert not signature_is_valid(on_token.certificate, loaded.sign(b"data"), b"Data")


def test_the_folder_holds_neither_key_nor_pin(on_token: Identity, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["certificate.pem", "token.toml"]
    assert PIN not in (folder / "token.toml").read_text()
    assert "PRIVATE" not in (folder / "certificate.pem").read_text()
    assert read_token_description(folder / "token.toml").key_label == "ada"


def test_openssl_accepts_certificate_signature_and_request_made_on_the_token(
    on_token: Identity, folder: Path, tmp_path: Path
) -> None:
    certificate = folder / "certificate.pem"
    checked = subprocess.run(
        ["openssl", "verify", "-check_ss_sig", "-CAfile", certificate, certificate], capture_output=True, text=True
    )
    assert checked.stdout.strip().endswith("OK"), checked.stderr
    (tmp_path / "data").write_bytes(b"data")
    (tmp_path / "sig").write_bytes(on_token.sign(b"data"))
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], capture_output=True, check=True)
    (tmp_path / "key").write_bytes(key.stdout)
    verified = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", tmp_path / "key", "-signature", tmp_path / "sig", tmp_path / "data"],
        capture_output=True,
    )
    assert verified.returncode == 0
    (tmp_path / "csr").write_text(certificate_request(on_token))
    request = subprocess.run(
        ["openssl", "req", "-in", tmp_path / "csr", "-verify", "-noout"], capture_output=True, text=True
    )
    assert "verify OK" in request.stdout + request.stderr


def test_the_private_key_cannot_be_read_out(place: TokenPlace) -> None:
    import pkcs11

    key = open_token(place, PIN, None).key
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        key[pkcs11.Attribute.VALUE]
    assert key[pkcs11.Attribute.EXTRACTABLE] is False


@pytest.mark.parametrize("pin", ["9999", "", "x" * 300])
def test_a_wrong_pin_is_a_clear_error(on_token: Identity, folder: Path, token: dict[str, str], pin: str) -> None:
    """In a process of its own: in this one the token is unlocked already."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom forensic.errors import ForensicError\n"
        "from forensic.signing.identity import load_identity\n"
        "try:\n    load_identity(Path(sys.argv[1]), lambda: sys.argv[2])\n"
        "except ForensicError as error:\n    print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, folder, pin], env={**os.environ, **token}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "identity.passphrase", done.stderr


def test_another_key_on_the_token_is_not_taken_for_ours(on_token: Identity, folder: Path, place: TokenPlace) -> None:
    other = TokenPlace(place.module, token_label=LABEL, key_label="mallory", key_id="66")
    generate_on_token(other, PIN)
    (folder / "token.toml").write_text(other.to_toml())
    with refused(VerificationFailed, "identity.mismatch"):
        load_identity(folder, lambda: PIN)


def test_a_key_that_is_there_is_never_replaced(place: TokenPlace) -> None:
    before = open_token(place, PIN, None).public_key
    with refused(UsageError, "identity.token-key-exists"):
        generate_on_token(place, PIN)
    assert open_token(place, PIN, None).public_key == before


@pytest.mark.parametrize(
    "changes", [{"token_label": "elsewhere"}, {"key_label": "nobody"}, {"token_serial": "0" * 16}, {"key_id": "99"}]
)
def test_a_token_or_key_that_is_not_there_is_a_clear_error(place: TokenPlace, changes: dict[str, str]) -> None:
    with refused(UsageError, "identity.token"):
        open_token(TokenPlace(**{**vars(place), **changes}), PIN, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "module = ",
        'module = "relative.so"\ntoken_label = "a"\nkey_label = "b"',
        'module = "/x.so"\nkey_label = "b"',
        'module = "/x.so"\ntoken_label = "a"',
        'module = "/x.so"\ntoken_label = "a"\nkey_label = "b"\npin = "1234"',
        'module = "/x.so"\ntoken_label = "a"\nkey_id = "0"',
        'module = 7\ntoken_label = "a"\nkey_label = "b"',
        'module = "/x\\n.so"\ntoken_label = "a"\nkey_label = "b"',
        "# " + "x" * 5000,
        "\x00",
    ],
)
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token.toml"
    path.write_text(text)
    with refused(BadInput, "identity.token-file"):
        read_token_description(path)


def test_a_module_that_a_workspace_brings_along_is_not_run(
    place: TokenPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading a library runs it: one that any user could have put there needs to be named in the environment."""
    brought = tmp_path / "libtoken.so"
    brought.write_bytes(Path(place.module).read_bytes())
    brought.chmod(0o777)
    theirs = TokenPlace(str(brought), token_label=LABEL, key_label="ada")
    with refused(UsageError, "identity.token-module"):
        open_token(theirs, PIN, None)
    with refused(UsageError, "identity.token-module"):
        open_token(TokenPlace("/nowhere/libtoken.so", token_label=LABEL, key_label="ada"), PIN, None)
    monkeypatch.setenv("FORENSIC_PKCS11_MODULE", "/another.so")
    with refused(UsageError, "identity.token-module"):
        open_token(theirs, PIN, None)


def test_a_library_that_is_no_pkcs11_module_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = tmp_path / "nothing.so"
    nothing.write_bytes(b"\x7fELF")
    monkeypatch.setenv("FORENSIC_PKCS11_MODULE", str(nothing))
    with refused(UsageError, "identity.token-module"):
        open_token(TokenPlace(str(nothing), token_label=LABEL, key_label="ada"), PIN, None)


def test_without_the_extra_the_message_says_what_to_install(
    on_token: Identity, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with refused(UsageError, "identity.token-support"):
        load_identity(folder, lambda: PIN)


def test_a_key_file_needs_no_token_library(tmp_path: Path) -> None:
    create_identity(tmp_path / "id", examiner="Ada", lab="Lab 7", passphrase=None, now=NOW)
    program = (
        "import sys\nfrom pathlib import Path\nfrom forensic.signing.identity import load_identity\n"
        "load_identity(Path(sys.argv[1])).sign(b'x')\nprint({'pkcs11', 'keyring'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "id"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
