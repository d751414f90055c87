"""Signed notes: the specification's own example, Go's test vectors, a real log's checkpoint, and everything bent."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError, InternalError, VerificationFailed
from forensic.signing.note import (
    MAX_SIGNATURES,
    Note,
    NoteSigner,
    SignatureType,
    VerifierKey,
    is_key_name,
    parse_note,
    parse_signature_lines,
    parse_vkey,
)

# golang.org/x/mod/sumdb/note/note_test.go
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
SIGNED = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode()


def signer(seed: bytes = PETER_SEED, name: str = "PeterNeumann", kind: int = 1) -> NoteSigner:
    return NoteSigner(name, SignatureType(kind), ed25519.Ed25519PrivateKey.from_private_bytes(seed))


class TestPublishedVectors:
    def test_c2sp_example_verifies(self) -> None:
        key = parse_vkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
        note = parse_note(
            "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ON"
            "ncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n".encode()
        )
        assert note.text == b"This is an example message.\n"
        assert [by for by, _ in note.signed_by([key])] == [key]

    def test_c2sp_poem_with_empty_lines_in_its_text_is_read(self) -> None:
        data = (
            "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
            "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99i"
            "hAQwaqP3ZekRwNtIc=\n"
        ).encode()
        note = parse_note(data)
        assert note.text.endswith("\n\ned è subito sera.\n".encode())
        assert note.signatures[0].key_id.hex() == "367ba04b"
        assert note.to_bytes() == data

    def test_signing_gives_go_s_bytes(self) -> None:
        key = signer()
        assert str(key.verifier) == PETER
        assert Note(TEXT.encode(), (key.sign(TEXT.encode()),)).to_bytes().decode() == f"{TEXT}\n{PETER_LINE}"

    def test_known_signatures_count_and_unknown_ones_are_ignored(self) -> None:
        note = parse_note(SIGNED)
        peter, enoch = parse_vkey(PETER), parse_vkey(ENOCH)
        assert [str(by) for by, _ in note.signed_by([peter])] == [PETER]
        assert [str(by) for by, _ in note.signed_by([enoch, peter, enoch])] == [PETER, ENOCH]
        assert note.signed_by([]) == []

    @pytest.mark.parametrize(
        "vkey",
        [
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",  # wrong length
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",  # unknown algorithm
            "TEST+7997405c",
            "TEST+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "TEST+00000000+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
            "",
        ],
    )
    def test_bad_verifier_keys_are_refused(self, vkey: str) -> None:
        with pytest.raises(BadInput, match=r"^\[note.vkey"):
            parse_vkey(vkey)

    def test_every_mangling_of_a_verifier_key_is_refused(self) -> None:
        """Go's TestNewVerifier: every proper substring, and every character raised by one."""
        bent = [PETER[i:j] for i in range(len(PETER)) for j in range(i + 1, len(PETER) + 1)]
        bent += [PETER[:i] + chr(ord(PETER[i]) + 1) + PETER[i + 1 :] for i in range(len(PETER))]
        for vkey in bent:
            if vkey != PETER:
                with pytest.raises(BadInput):
                    parse_vkey(vkey)

    def test_published_verifier_keys_of_both_types_are_read(self) -> None:
        for vkey, kind in (
            ("TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6", SignatureType.ED25519),
            ("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", SignatureType.COSIGNATURE),
            ("foo+1573814f+ATnT68N1+aPhXIQhFQ0X6jekt0UsUk/iyE8dWHb3g9GN", SignatureType.ED25519),
        ):
            key = parse_vkey(vkey)
            assert (str(key), key.type) == (vkey, kind)

    @pytest.mark.parametrize(
        "data",
        [
            TEXT.encode(),
            f"{TEXT}\n".encode(),
            f"{TEXT}\n{PETER_LINE}"[:-1].encode(),
            b"\x01" + f"{TEXT}\n{PETER_LINE}".encode(),
            b"\xff" + f"{TEXT}\n{PETER_LINE}".encode(),
            f"{TEXT}\n— Bad Name {PETER_LINE[15:]}".encode(),
            f"{TEXT}\n{PETER_LINE}Unexpected line.\n".encode(),
            f"{TEXT}\n{PETER_LINE * (MAX_SIGNATURES + 1)}".encode(),
            f"{TEXT}\n{PETER_LINE}\n".encode(),
            f"{TEXT}\n{PETER_LINE.replace('—', '-')}".encode(),
            f"{TEXT}\n— PeterNeumann x08g\n".encode(),
            f"{TEXT}\n{PETER_LINE}".replace("\n", "\r\n").encode(),
            b"",
        ],
    )
    def test_malformed_notes_are_refused(self, data: bytes) -> None:
        with pytest.raises(BadInput, match=r"^\[note.malformed\]"):
            parse_note(data)

    def test_a_wrong_signature_of_a_known_key_spoils_the_note(self) -> None:
        bent = parse_note(f"{TEXT}\n{PETER_LINE[:60]}ABCD{PETER_LINE[60:]}{ENOCH_LINE}".encode())
        with pytest.raises(VerificationFailed, match=r"^\[note.signature\]"):
            bent.signed_by([parse_vkey(PETER), parse_vkey(ENOCH)])
        assert len(bent.signed_by([parse_vkey(ENOCH)])) == 1


class TestCosignatures:
    TEXT = "test\n123\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n"

    def test_time_of_a_published_cosignature(self) -> None:
        """github.com/transparency-dev/formats, note_cosigv1_test.go."""
        (line,) = parse_signature_lines(
            "— w ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gxEHWWOworDcFiEBYJXORmn"
            "FBOBA==\n".encode()
        )
        assert line.time == 1727964367
        (plain,) = parse_signature_lines(PETER_LINE.encode())
        assert plain.time is None

    @given(st.binary(min_size=32, max_size=32), st.integers(1, (1 << 63) - 1), st.sampled_from(["", "extension\n"]))
    def test_round_trip_and_every_change_is_noticed(self, seed: bytes, time: int, extension: str) -> None:
        key = signer(seed, "witness.example/w1", 4)
        text = (self.TEXT + extension).encode()
        line = key.cosign(text, time)
        note = parse_note(Note(text, (line,)).to_bytes())
        assert note.signatures == (line,)
        assert line.time == time
        assert note.signed_by([key.verifier]) == [(key.verifier, line)]
        later = (time % ((1 << 63) - 1) + 1).to_bytes(8, "big") + line.signature[8:]
        assert not key.verifier.verifies(text, later)
        assert not key.verifier.verifies(text + b"more\n", line.signature)
        assert not key.verifier.verifies(text, line.signature[8:])

    def test_a_plain_signature_is_no_cosignature_and_the_other_way_round(self) -> None:
        """One key pair under two types: the key IDs differ, and neither verifies the other's bytes."""
        author, witness = signer(), signer(kind=4)
        text = self.TEXT.encode()
        assert author.verifier.id != witness.verifier.id
        assert not author.verifier.verifies(text, witness.cosign(text, 5).signature)
        assert not witness.verifier.verifies(text, author.sign(text).signature)
        with pytest.raises(InternalError):
            author.cosign(text, 5)
        with pytest.raises(InternalError):
            witness.sign(text)

    def test_a_time_beyond_the_specification_does_not_verify(self) -> None:
        key = signer(kind=4)
        message = b"cosignature/v1\ntime %d\n" % (1 << 63) + self.TEXT.encode()
        signature = (1 << 63).to_bytes(8, "big") + key.private_key.sign(message)
        assert not key.verifier.verifies(self.TEXT.encode(), signature)


class TestProperties:
    @given(st.binary(max_size=300))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        for read in (parse_note, parse_signature_lines, lambda raw: parse_vkey(raw.decode("latin-1"))):
            try:
                read(data)
            except ForensicError as error:
                assert error.code.startswith("note.")

    @given(st.integers(0, len(SIGNED) - 1), st.integers(0, 7))
    def test_a_flipped_bit_is_noticed_by_who_knows_both_keys(self, place: int, bit: int) -> None:
        bent = bytearray(SIGNED)
        bent[place] ^= 1 << bit
        try:
            found = parse_note(bytes(bent)).signed_by([parse_vkey(PETER), parse_vkey(ENOCH)])
        except ForensicError:
            return
        assert len(found) < 2  # a changed name or key ID: that line is now somebody else's

    @given(st.text(max_size=30), st.binary(min_size=32, max_size=32), st.sampled_from(SignatureType))
    def test_a_verifier_key_is_its_text(self, name: str, raw: bytes, kind: SignatureType) -> None:
        if not is_key_name(name):
            with pytest.raises(InternalError):
                VerifierKey(name, kind, raw)
            return
        key = VerifierKey(name, kind, raw)
        assert parse_vkey(str(key)) == key

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=50), st.lists(st.just(1)))
    def test_a_note_is_its_bytes(self, text: str, more: list[int]) -> None:
        body = (text + "\n").encode()
        note = Note(body, tuple(signer(name=f"n{i}").sign(body) for i in range(1 + len(more[:3]))))
        assert parse_note(note.to_bytes()) == note

    def test_two_keys_with_one_name_and_id_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(VerifierKey, "id", property(lambda _: b"same"))
        one, other = signer(), signer(b"\x01" * 32)
        with pytest.raises(VerificationFailed, match="Two different keys"):
            Note(b"t\n", (one.sign(b"t\n"),)).signed_by([one.verifier, other.verifier])


def test_openssl_agrees(tmp_path: Path) -> None:
    """The hand check of docs/formats/checkpoint.md, on Go's note."""
    note = parse_note(SIGNED)
    public = ed25519.Ed25519PublicKey.from_public_bytes(parse_vkey(PETER).public_key)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.der").write_bytes(der)
    (tmp_path / "text").write_bytes(note.text)
    (tmp_path / "signature").write_bytes(note.signatures[0].signature)
    command = [
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.der", "-keyform", "DER",
        "-rawin", "-in", "text", "-sigfile", "signature",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "text").write_bytes(note.text + b" ")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0
