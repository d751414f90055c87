"""A certificate that cannot stand in the ledger is refused before it gets there: an entry is never taken out again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from forensic.case.enrolment import import_certificate
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace, open_workspace
from forensic.errors import BadInput
from tests.case.conftest import forensic


def _in_our_own_name(public_key: object, name: x509.Name, by: ec.EllipticCurvePrivateKey) -> bytes:
    """What a careless or hostile authority called like the examiner would send: not signed by the key in it."""
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(public_key)  # type: ignore[arg-type]
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + dt.timedelta(days=9))
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_certificate_that_did_not_sign_itself_never_enters_the_ledger(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    with create_workspace(root, examiner="Ada", lab="Lab", passphrase=None, origin="test") as workspace:
        own = x509.load_pem_x509_certificate(workspace.signer.certificate_pem.encode())
        pem = _in_our_own_name(own.public_key(), own.subject, ec.generate_private_key(ec.SECP256R1()))
        before = workspace.ledger.size
        with pytest.raises(BadInput) as caught:
            import_certificate(workspace, None, pem, b"")
        assert caught.value.code == "certificate.self-signature"
        with pytest.raises(BadInput):
            workspace.ledger.introduce(pem.decode())
        assert workspace.ledger.size == before
        workspace.ledger.append("note.made", {"reason": "the ledger goes on"})
    with open_workspace(root, lambda: "") as again:
        assert again.ledger.size == before + 1
    assert verify(root).verdict is not Verdict.FAILED


@pytest.mark.parametrize("command", ["request", "issue"])
def test_a_certificate_is_never_written_over_an_original(tmp_path: Path, command: str) -> None:
    root, original = tmp_path / "ws", tmp_path / "original.avi"
    original.write_bytes(b"evidence")
    assert forensic("init", "--examiner", "Ada", "-w", root).code == 0
    if command == "request":
        done = forensic("identity", "request", "-w", root, "--out", original)
    else:
        assert forensic("identity", "ca-init", tmp_path / "ca", "--name", "Lab CA").code == 0
        (tmp_path / "csr").write_text(forensic("identity", "request", "-w", root).out)
        done = forensic("identity", "issue", tmp_path / "csr", "--ca", tmp_path / "ca", "--out", original)
    assert (done.code, original.read_bytes()) == (2, b"evidence")
    assert "export.exists" in done.err
