"""Checkpoints, requests to witnesses and inclusion proofs: a real log's, another witness's vectors, and properties."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import BadInput, ForensicError, InternalError, VerificationFailed
from forensic.hashes import EMPTY_ROOT, consistency_proof, inclusion_proof, leaf_hash, merkle_root
from forensic.signing.checkpoint import (
    MAX_SIZE,
    Checkpoint,
    InclusionProof,
    SignedCheckpoint,
    WitnessRequest,
    examine_request,
    parse_checkpoint,
    parse_inclusion_proof,
    parse_kept_checkpoint,
    parse_signed_checkpoint,
    parse_witness_request,
    sign_checkpoint,
)
from forensic.signing.note import NoteSigner, SignatureType, VerifierKey, parse_vkey

# A checkpoint of a staging Certificate Transparency log, with the log's own signatures and those of four witnesses.
REAL = """arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
""".encode()  # noqa: E501
REAL_LOG = parse_vkey("arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f")
REAL_WITNESS = parse_vkey("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2")

# The witness litewitness (filippo.io/torchwood, internal/witness/witness_test.go): a log's requests, sizes 1, 3, 5.
ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
SIGSUM = VerifierKey(
    ORIGIN,
    SignatureType.ED25519,
    bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f"),
)
FIRST = f"""old 0

{ORIGIN}
1
KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

— {ORIGIN} UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=
""".encode()
TO_THREE = f"""old 1
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{ORIGIN}
3
RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=

— {ORIGIN} UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=
""".encode()
TO_FIVE = f"""old 1
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=
KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{ORIGIN}
5
QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=

— {ORIGIN} UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=
""".encode()

LOG = NoteSigner("log.example/a", SignatureType.ED25519, ed25519.Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
LEAVES = [b"entry %d" % number for number in range(20)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def signed(size: int, root: bytes | None = None) -> SignedCheckpoint:
    checkpoint = Checkpoint(LOG.name, size, merkle_root(LEAVES[:size]) if root is None else root)
    return SignedCheckpoint(checkpoint, sign_checkpoint(checkpoint, LOG))


def request(old: int, size: int) -> WitnessRequest:
    return WitnessRequest(old, tuple(consistency_proof(HASHES, old, size)), signed(size))


def refused(code: str):  # type: ignore[no-untyped-def]
    return pytest.raises(ForensicError, match=rf"^\[{code}\]")


class TestCheckpoints:
    def test_real_checkpoint_and_its_cosignature_verify(self) -> None:
        real = parse_signed_checkpoint(REAL)
        assert real.checkpoint.size == 1432088532
        assert real.note.to_bytes() == REAL
        assert real.require_log([REAL_WITNESS, REAL_LOG]) == REAL_LOG
        ((by, line),) = real.cosignatures([REAL_WITNESS, REAL_LOG])
        assert (by, line.time) == (REAL_WITNESS, 0x6A122120)

    def test_real_checkpoint_with_another_size_does_not_verify(self) -> None:
        bent = parse_signed_checkpoint(REAL.replace(b"1432088532", b"1432088533"))
        with refused("note.signature"):
            bent.require_log([REAL_LOG])
        with refused("note.signature"):
            bent.cosignatures([REAL_WITNESS])

    def test_example_of_the_specification_is_read(self) -> None:
        data = (
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
            "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nT"
            "o+zyWE+xeMcTOAYQ8=\n"
            "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqh"
            "f5nNo0xUe+mbIUBkBIfZ+qnA==\n"
        ).encode()
        example = parse_signed_checkpoint(data)
        assert example.checkpoint.size == 20852163
        assert example.note.signatures[1].time == 1679315147  # the time in the specification's signed message
        with refused("checkpoint.unsigned"):
            example.require_log([REAL_LOG])

    @pytest.mark.parametrize(
        "text",
        [
            "", "o\n", "o\n1\n", "o\n1\nAAAA\n", "\n1\nR\n", "o\n01\nR\n", "o\n-1\nR\n", "o\n+1\nR\n", "o\n1 \nR\n",
            "o\n1\nR", "o\n1\nR\n\n", "o\n1\nR\n\next\n", "o\n1\nR=\n", "o\n１\nR\n", f"o\n{MAX_SIZE + 1}\nR\n",
            "o\n1\nr\n", "o\t\n1\nR\n",
        ],
    )  # fmt: skip
    def test_malformed_texts_are_refused(self, text: str) -> None:
        root = base64.b64encode(EMPTY_ROOT).decode()
        with refused("checkpoint.malformed"):
            parse_checkpoint(text.replace("R", root).replace("r", root[:-1]).encode())

    @given(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
        st.integers(0, MAX_SIZE),
        st.binary(min_size=32, max_size=32),
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9), max_size=3),
    )
    def test_a_checkpoint_is_its_text(self, origin: str, size: int, root: bytes, extensions: list[str]) -> None:
        checkpoint = Checkpoint(origin, size, root, tuple(extensions))
        assert parse_checkpoint(checkpoint.text()) == checkpoint

    def test_only_the_log_itself_signs(self) -> None:
        with pytest.raises(InternalError):
            sign_checkpoint(Checkpoint("other.example", 1, EMPTY_ROOT), LOG)
        with pytest.raises(InternalError):
            sign_checkpoint(Checkpoint(LOG.name, 1, EMPTY_ROOT, ("two\nlines",)), LOG)

    def test_signing_twice_gives_the_same_bytes(self) -> None:
        assert signed(5).note.to_bytes() == signed(5).note.to_bytes()


class TestKept:
    def test_from_paper_with_groups(self) -> None:
        checkpoint = signed(9).checkpoint
        digits = checkpoint.root.hex()
        groups = " ".join(digits[at : at + 4] for at in range(0, 64, 4))
        for text in (
            checkpoint.text().decode(),
            f"{LOG.name}\n9\n{digits}",
            f"  {LOG.name}\r\n  9\r\n  {groups.upper()}\r\n",
            f"\n{LOG.name}\n9\n{groups[:39]}\n{groups[40:]}\n\n",
        ):
            assert parse_kept_checkpoint(text.encode()) == (checkpoint, None)

    def test_as_a_note(self) -> None:
        kept, note = parse_kept_checkpoint(signed(9).note.to_bytes())
        assert (kept, note) == (signed(9).checkpoint, signed(9).note)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        for read in (parse_kept_checkpoint, parse_signed_checkpoint, parse_witness_request, parse_inclusion_proof):
            with pytest.raises(BadInput):
                read(data)


class TestWitness:
    def test_another_witness_s_vectors(self) -> None:
        first, three, five = (parse_witness_request(data) for data in (FIRST, TO_THREE, TO_FIVE))
        for one, data in ((first, FIRST), (three, TO_THREE), (five, TO_FIVE)):
            assert one.to_bytes() == data
        examine_request(first, SIGSUM, None)
        at_one = (1, first.signed.checkpoint.root)
        examine_request(three, SIGSUM, at_one)
        examine_request(five, SIGSUM, at_one)
        with refused("witness.conflict") as caught:
            examine_request(three, SIGSUM, (5, five.signed.checkpoint.root))
        assert "--old 5" in str(caught.value)

    @pytest.mark.parametrize(
        "bend",
        [
            lambda data: data.replace(b"old 0\n", b"old 0\n" + b"%s\n" % base64.b64encode(EMPTY_ROOT) * 64),
            lambda data: data.replace(b"old 0", b"old 2"),
            lambda data: data.replace(b"old 0", b"old 00"),
            lambda data: data.replace(b"old 0", b"0"),
            lambda data: data.replace(b"old 0\n", b"old 0\r\n"),
            lambda data: data.replace(b"old 0", b"old 0\nAAAA"),
            lambda data: data.replace(b"\n\n", b"\n", 1),
            lambda data: b"\xff" + data,
            lambda _: b"",
        ],
    )  # fmt: skip
    def test_malformed_requests_are_refused(self, bend) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(BadInput):
            parse_witness_request(bend(FIRST))

    @given(st.data())
    def test_growth_is_accepted_and_nothing_else(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(0, 20))
        old = data.draw(st.integers(0, size))
        cosigned = None if old == 0 else (old, merkle_root(LEAVES[:old]))
        asked = parse_witness_request(request(old, size).to_bytes())
        examine_request(asked, LOG.verifier, cosigned)
        longer = WitnessRequest(old, (*asked.proof, EMPTY_ROOT), asked.signed)
        with refused("witness.inconsistent"):
            examine_request(longer, LOG.verifier, cosigned)
        if old:
            forged = (old, hashlib.sha256(b"another history").digest())
            with pytest.raises(VerificationFailed, match=r"^\[witness\.(inconsistent|split-view)\]"):
                examine_request(asked, LOG.verifier, forged)
            with refused("witness.conflict"):
                examine_request(asked, LOG.verifier, (old - 1, EMPTY_ROOT) if old > 1 else None)

    def test_two_histories_of_one_size_are_called_what_they_are(self) -> None:
        rewritten = signed(5, merkle_root([b"entry 0", b"other", *LEAVES[2:5]]))
        for old in (0, 3, 5):
            with refused("witness.split-view"):
                examine_request(WitnessRequest(old, (), rewritten), LOG.verifier, (5, signed(5).checkpoint.root))

    def test_an_empty_log_has_one_root(self) -> None:
        examine_request(WitnessRequest(0, (), signed(0)), LOG.verifier, None)
        for root in (bytes(32), leaf_hash(b"leaf")):
            with refused("witness.inconsistent"):
                examine_request(WitnessRequest(0, (), signed(0, root)), LOG.verifier, None)

    def test_an_unknown_or_wrong_signature_is_refused(self) -> None:
        other = NoteSigner(LOG.name, LOG.type, ed25519.Ed25519PrivateKey.generate())
        with refused("checkpoint.unsigned"):
            examine_request(request(0, 3), other.verifier, None)
        note = signed(3).note
        bent = note.signatures[0].signature[:-1] + bytes([note.signatures[0].signature[-1] ^ 1])
        text = note.to_bytes().replace(
            base64.b64encode(note.signatures[0].key_id + note.signatures[0].signature),
            base64.b64encode(note.signatures[0].key_id + bent),
        )
        with refused("note.signature"):
            examine_request(WitnessRequest(0, (), parse_signed_checkpoint(text)), LOG.verifier, None)
        cosigner = NoteSigner(LOG.name, SignatureType.COSIGNATURE, LOG.private_key)
        with refused("checkpoint.unsigned"):
            examine_request(request(0, 3), cosigner.verifier, None)


class TestInclusionProofs:
    @given(st.integers(1, 20), st.data())
    def test_every_entry_of_every_tree(self, size: int, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, size - 1))
        extra = data.draw(st.none() | st.binary(max_size=9))
        proof = InclusionProof(index, tuple(inclusion_proof(HASHES[:size], index)), signed(size), extra)
        read = parse_inclusion_proof(proof.to_bytes())
        assert read == proof
        assert read.includes(LEAVES[index])
        assert not read.includes(LEAVES[index] + b".")

    def test_written_form(self) -> None:
        """The layout of tlog-proof and of github.com/transparency-dev/formats, proof/tlog_proof_test.go."""
        proof = InclusionProof(0, (HASHES[1],), signed(2), b"extra information")
        lines = proof.to_bytes().decode().split("\n")
        assert lines[:4] == [
            "c2sp.org/tlog-proof@v1",
            "extra ZXh0cmEgaW5mb3JtYXRpb24=",
            "index 0",
            base64.b64encode(HASHES[1]).decode(),
        ]
        assert lines[4:7] == ["", LOG.name, "2"]

    @pytest.mark.parametrize(
        "head",
        [
            "wrong-header\nindex 0\n",
            "c2sp.org/tlog-proof@v1\nextra !!\nindex 0\n",
            "c2sp.org/tlog-proof@v1\n",
            "c2sp.org/tlog-proof@v1\nindex notanumber\n",
            "c2sp.org/tlog-proof@v1\nindex -5\n",
            "c2sp.org/tlog-proof@v1\nindex 0\n!!notbase64!!\n",
            "c2sp.org/tlog-proof@v1\nindex 0\n" + base64.b64encode(bytes(64)).decode() + "\n",
            "c2sp.org/tlog-proof@v1\nindex 0\nextra AAAA\n",
        ],
    )
    def test_malformed_proofs_are_refused(self, head: str) -> None:
        with refused("proof.malformed"):
            parse_inclusion_proof(head.encode() + b"\n" + signed(1).note.to_bytes())
