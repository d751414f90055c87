"""The commands of docs/formats/ledger.md, run as they stand there, with other people's tools."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger
from forensic.signing.identity import Identity, load_identity, self_issued
from forensic.signing.signer import FileKey
from tests.ledger.conftest import NOW
from tests.ledger.forging import tampering

DOC = Path(__file__).parents[2] / "docs" / "formats" / "ledger.md"


def run_document(folder: Path, seq: int, only: str = "") -> subprocess.CompletedProcess[str]:
    """Run the commands; ``only``: those of the blocks about this check, and what all of them need."""
    blocks = re.findall(r"```sh\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)
    if only:
        blocks = ["\n".join(blocks[0].splitlines()[:2]), *(block for block in blocks if block.startswith(f"# {only}"))]
    script = "set -euo pipefail\n" + "\n".join(blocks)
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin", "N": str(seq)}, capture_output=True, text=True
    )


@pytest.mark.parametrize("seq", range(1, 9))
def test_every_entry_passes(victim: Path, identity: Identity, seq: int) -> None:
    done = run_document(victim.parent, seq)
    assert done.returncode == 0, done.stderr
    faults, computed, stored, *_, key_computed, key_named, verdict, root, named = done.stdout.splitlines()
    assert faults == "0"
    assert computed.split()[0] == stored
    assert key_computed.split()[0] == key_named == identity.key_id
    assert verdict == "Verified OK"
    assert len(root) == 64
    assert root == named


def test_a_changed_entry_fails(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("UPDATE entries SET entry = replace(entry, ':120}', ':121}') WHERE seq = 6")
    done = run_document(victim.parent, 6)
    _, computed, stored, *_ = done.stdout.splitlines()
    assert computed.split()[0] != stored
    assert done.returncode != 0
    assert "Verified OK" not in done.stdout


def test_a_deleted_entry_fails(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("DELETE FROM entries WHERE seq = 3")
    assert run_document(victim.parent, 4).stdout.splitlines()[0] == "1"


def test_an_ed25519_ledger_is_written_audited_and_verified_by_openssl(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    folder = tmp_path / "identity"
    folder.mkdir()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate = self_issued(FileKey(key, "none"), name="Ada", lab="Lab 7", now=NOW)
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity = load_identity(folder)
    with Ledger.create(tmp_path / "ledger.sqlite", identity) as ledger:
        head = ledger.append("note.made", {"n": 1}).head
    assert audit(tmp_path / "ledger.sqlite", head).ok
    run_document(tmp_path, 2)  # leaves public.pem, pae.bin and signature.der
    command = re.findall(r"`(openssl pkeyutl [^`]+)`", DOC.read_text("utf-8"))[-1]
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert "Signature Verified Successfully" in done.stdout


def test_a_changed_entry_changes_every_later_root(victim: Path) -> None:
    with tampering(victim) as connection:
        connection.execute("UPDATE entries SET entry = replace(entry, ':120}', ':121}') WHERE seq = 6")
    for seq, same in ((6, True), (7, False), (8, False)):
        *_, root, named = run_document(victim.parent, seq, only="L13").stdout.splitlines()
        assert (root == named) == same
