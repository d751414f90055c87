"""What an examiner can do with his key: both verifiers find it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from forensic.case.bundle import issuing
from forensic.case.bundle.issuing import BundleRequest
from forensic.case.bundle.selecting import scope_for
from forensic.case.enhance import enhance
from forensic.case.exhibits import find_exhibit
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.verification import runs
from forensic.case.verification.bundleform import bag as names
from forensic.case.workspace import create_workspace, open_workspace
from forensic.case.written import Written
from forensic.hashes import canonical_json, sha256_file
from tests.bundle_vectors.agreement import both_refuse
from tests.case.bundling import (
    EXHIBIT,
    Disclosure,
    entries_of,
    failures,
    keep_entries,
    predicate_of,
    reseal,
)


def swap(bag: Path, other: Path, piece: str) -> None:
    """Put a file or folder of another bundle in the place of this one's."""
    shutil.rmtree(bag / piece) if (bag / piece).is_dir() else (bag / piece).unlink()
    shutil.copytree(other / piece, bag / piece) if (other / piece).is_dir() else shutil.copy(other / piece, bag / piece)


def test_pieces_of_another_bundle_are_mixed_in(
    disclosure: Disclosure, other: Disclosure, root: Path, tmp_path: Path
) -> None:
    for piece in (
        "data", "data/ledger", "data/exhibits", "data/runs", "data/certificates", "data/ledger/checkpoint", "VERIFY.md",
        "data/ledger/entries.jsonl", "data/ledger/proofs", "data/ledger/anchors", "bundle.json",
    ):  # fmt: skip
        if not (other.folder / piece).exists():
            continue
        mixed = disclosure.copy(tmp_path / "mixed")
        swap(mixed, other.folder, piece)
        both_refuse(mixed, piece)
        if piece not in ("bundle.json", "VERIFY.md"):
            reseal(mixed, root)
            both_refuse(mixed, f"{piece}, sealed")
        shutil.rmtree(mixed)
    mixed = disclosure.copy(tmp_path / "mixed")
    ours, theirs = next((mixed / "data/runs").iterdir()), other.case.run
    for name in ("attestation.json", "report.pdf", "output.mkv", "frames.jsonl"):
        shutil.copy(theirs / name, ours / name)
        digests = {p.relative_to(ours).as_posix(): sha256_file(p) for p in ours.rglob("*") if p.is_file()}
        digests.pop("manifest.sha256")
        (ours / "manifest.sha256").write_bytes(names.list_text(digests))
        reseal(mixed, root)
        both_refuse(mixed, name)


def test_entries_and_proofs_are_left_out_or_exchanged(disclosure: Disclosure, root: Path, tmp_path: Path) -> None:
    entries = entries_of(disclosure.folder)
    for entry in entries:
        spoilt = disclosure.copy(tmp_path / "spoilt")
        keep_entries(spoilt, lambda one, seq=entry["seq"]: one["seq"] != seq)  # type: ignore[misc]
        reseal(spoilt, root)
        both_refuse(spoilt, entry["event"])
        shutil.rmtree(spoilt)
    spoilt = disclosure.copy(tmp_path / "spoilt")
    first, second = sorted((spoilt / names.PROOFS).iterdir())[:2]
    honest = first.read_bytes()
    for content in (
        second.read_bytes(), honest.replace(b"index 0", b"index 00"), honest.replace(b"@v1\n", b"@v1\nextra AAAA\n"),
        honest.replace(b"\n\n", b"\n" + honest.split(b"\n")[2] + b"\n\n", 1), honest[:-1], honest + b"\n", b"",
    ):  # fmt: skip
        first.write_bytes(content)
        reseal(spoilt, root)
        both_refuse(spoilt, content[:60])
    first.write_bytes(honest)
    lines = (spoilt / names.ENTRIES).read_bytes().splitlines(keepends=True)
    for content in (
        lines[::-1], [*lines, lines[-1]], [lines[0], *lines], [*lines[:-1], lines[-1][:-1]], [*lines, b"\n"],
        [b" " + lines[0], *lines[1:]], [line.replace(b"\n", b"\r\n") for line in lines], [],
    ):  # fmt: skip
        (spoilt / names.ENTRIES).write_bytes(b"".join(content))
        reseal(spoilt, root)
        both_refuse(spoilt, content[:1])


@pytest.mark.parametrize("name", ["report-superseded-x.pdf", "stills/old.pdf", "other.json"])
def test_record_about_a_file_that_no_run_has(
    disclosure: Disclosure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A program without the check puts it among the files of a run, signs it, and discloses it."""
    root = tmp_path / "ws"
    shutil.copytree(disclosure.case.root, root)
    honest = Written.check

    def check(written: Written) -> None:
        written.write(written._folder.root / name, b"%PDF-1.7 whatever")
        honest(written)

    with open_workspace(root, lambda: "") as workspace, monkeypatch.context() as changed:
        changed.setattr(Written, "check", check)
        changed.setattr(runs, "is_recorded_name", lambda _: True)
        exhibit = find_exhibit(workspace, EXHIBIT)
        assert exhibit is not None
        request = EnhanceRequest(frames=(0, 2), stills=(1,), recipe="plain-lanczos")
        run = enhance(workspace, exhibit, request, Silent())
        scope = scope_for(workspace, run.run_id)
        out = issuing.disclose(workspace, scope, BundleRequest(tmp_path / "b.zip"), Silent()).path
    assert "A4, A5" in both_refuse(out, name)
    assert failures(out).keys() == {"A5"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "bundle-of-lies-000001"), ("scope", "case"), ("case", "another case"), ("exhibit", "OTHER-1"),
        ("run", None), ("runs", []), ("other_runs", []), ("exhibits", []), ("originals", "hash-only"),
        ("stage_class", "generative"), ("label", "harmless"), ("checkpoint", {"size": 1}), ("workspace", {"id": "x"}),
        ("issued", {"seq": 1}), ("models", [{"id": "x"}]), ("witnesses", ["x"]), ("more", 1), ("schema", "x"),
    ],
)  # fmt: skip
def test_description_that_lies(bag: Path, root: Path, key: str, value: object) -> None:
    reseal(bag, root, {**predicate_of(bag), key: value})
    both_refuse(bag, key)
    info = bag / names.BAG_INFO
    reseal(bag, root, {**predicate_of(bag), key: predicate_of(bag)[key]})
    info.write_text(info.read_text().replace("1 other runs", "0 other runs"))
    reseal(bag, root)
    both_refuse(bag, "bag-info.txt")


def test_signed_by_somebody_else_or_under_another_certificate(bag: Path, root: Path, tmp_path: Path) -> None:
    create_workspace(tmp_path / "forger", examiner="Forger", lab="Lab", passphrase=None, origin="test").close()
    honest = (bag / names.STATEMENT).read_bytes()
    reseal(bag, tmp_path / "forger")
    both_refuse(bag)
    # The envelope does not sign the certificate in it: anybody can certify the examiner's key in another name.
    reseal(bag, root)
    envelope = json.loads(honest)
    ours = x509.load_pem_x509_certificate(envelope["signatures"][0]["cert"].encode())
    key, authority = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=Authority of repute")
    now = datetime.now(UTC)
    for name in (ours.subject, x509.Name.from_rfc4514_string("CN=Somebody of repute")):
        builder = x509.CertificateBuilder(authority, name, ours.public_key(), 1, now, now + timedelta(1))
        for extension in ours.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        envelope["signatures"][0]["cert"] = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        (bag / names.STATEMENT).write_bytes(canonical_json(envelope))
        tags = {name: sha256_file(bag / name) for name in names.TAG_FILES}
        (bag / names.TAG_MANIFEST).write_bytes(names.list_text(tags))
        both_refuse(bag, "certificate")
        assert failures(bag).keys() == {"B14"}
