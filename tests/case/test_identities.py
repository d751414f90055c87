"""Identities of a workspace through the real command: added, certified, rotated, revoked; all of it on the record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from forensic.case import enrolment
from forensic.case.enrolment import add_identity, import_certificate, pin_authority, revoke_identity, rotate
from forensic.case.identities import NEXT, folder_name
from forensic.case.layout import WorkspaceLayout
from forensic.case.workspace import Workspace, create_workspace, open_workspace, utc_now
from forensic.cli.main import run
from forensic.errors import ForensicError, UsageError, VerificationFailed
from forensic.ledger.audit import audit
from forensic.signing.authority import Authority, certificate_request, create_authority, issue
from forensic.signing.certificate import certificate_pem
from forensic.signing.identity import load_identity
from tests.case.conftest import Done, forensic
from tests.tokens import LABEL, PIN, make_token, softhsm_module
from tests.unpacking import unpack


def refused(kind: type[ForensicError], code: str):
    return pytest.raises(kind, match=rf"^\[{code}\]")


def made(root: Path, passphrase: str | None = None) -> Workspace:
    return create_workspace(root, examiner="Ada", lab="Lab 7", passphrase=passphrase, origin="test")


def reopened(root: Path, passphrase: str = "", identity: str | None = None) -> Workspace:
    return open_workspace(root, lambda: passphrase, identity=identity)


def sound(root: Path) -> bool:
    result = audit(root / "ledger.sqlite")
    assert result.ok, result.findings
    return result.ok


def events(workspace: Workspace) -> list[str]:
    return [entry.event for entry in workspace.ledger.entries()]


def with_lines(lines: str, *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Done:
    """The real command with passphrases on a file descriptor of its own."""
    reading, writing = os.pipe()
    os.write(writing, lines.encode())
    os.close(writing)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "forensic", "--passphrase-fd", str(reading), *map(str, arguments)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, pass_fds=(reading,), cwd=cwd, timeout=120,
            env={**os.environ, **(env or {})}, check=False,
        )  # fmt: skip
    finally:
        os.close(reading)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def in_here(capsys: pytest.CaptureFixture[str], lines: str, *arguments: object) -> Done:
    """The same in this process, where starting one for each of many commands would take longer than what they do."""
    reading, writing = os.pipe()
    os.write(writing, lines.encode())
    os.close(writing)
    capsys.readouterr()
    code = run(["--passphrase-fd", str(reading), *map(str, arguments)])
    with pytest.raises(OSError):
        os.fstat(reading)  # closed by the command
    printed = capsys.readouterr()
    return Done(code, printed.out, printed.err)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return create_authority(tmp_path / "ca", name="Lab 7 CA", passphrase=None, now=utc_now())


# By the command, as a laboratory would


def test_a_laboratory_certifies_examiner_and_reviewer_and_revokes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, ca = tmp_path / "ws", tmp_path / "ca"
    assert in_here(capsys, "ada's\n", "init", "--examiner", "Ada", "--lab", "Lab 7", "-w", root).code == 0
    assert in_here(capsys, "safe\n", "identity", "ca-init", ca, "--name", "Lab 7 CA").code == 0
    assert in_here(capsys, "ada's\nbea's\n", "identity", "add", "--name", "Bea Ó'Neill", "-w", root).code == 0
    pinned = in_here(capsys, "ada's\n", "identity", "pin-ca", ca / "certificate.pem", "-w", root)
    assert pinned.code == 0, pinned.err
    for name, role, secret in ((None, "examiner", "ada's\n"), ("Bea Ó'Neill", "reviewer", "bea's\n")):
        who = [] if name is None else ["--as", name]
        csr, pem = tmp_path / f"{role}.csr", tmp_path / f"{role}.pem"
        assert in_here(capsys, secret, "identity", "request", *who, "-w", root, "--out", csr).code == 0
        done = in_here(capsys, "safe\n", "identity", "issue", csr, "--ca", ca, "--role", role, "--out", pem)
        assert done.code == 0, done.err
        chain = ["--chain", ca / "certificate.pem", "--crl", ca / "crl.pem"]
        done = in_here(capsys, secret, "identity", "import", pem, *chain, *who, "-w", root)
        assert done.code == 0, done.err
    records = {record["role"]: record for record in in_here(capsys, "", "identity", "list", "-w", root, "--json").json}
    assert all(record["certified"] for record in records.values()), records
    assert sorted(records) == ["examiner", "reviewer"]
    serial = records["reviewer"]["certificate"]["serial"]
    done = in_here(capsys, "safe\n", "identity", "crl", "--ca", ca, "--revoke", serial, "--reason", "key-compromise")
    assert done.code == 0, done.err
    assert in_here(capsys, "ada's\n", "identity", "import", "--crl", ca / "crl.pem", "-w", root).code == 0
    records = {record["role"]: record for record in in_here(capsys, "", "identity", "list", "-w", root, "--json").json}
    assert "revoked by its authority" in records["reviewer"]["certified_detail"]
    assert records["examiner"]["certified"]
    assert sound(root)
    seen = [entry["name"] for entry in in_here(capsys, "", "log", "-w", root, "--json").json]
    assert seen[:3] == ["workspace.created", "identity.introduced", "authority.pinned"]
    assert seen.count("identity.introduced") == 3
    assert seen.count("authority.list-received") == 2


def test_openssl_verifies_what_the_command_issued(tmp_path: Path) -> None:
    root, ca = tmp_path / "ws", tmp_path / "ca"
    assert forensic("init", "--examiner", "Ada", "-w", root).code == 0
    assert forensic("identity", "ca-init", ca, "--name", "Lab 7 CA").code == 0
    request = forensic("identity", "request", "-w", root)
    (tmp_path / "csr").write_text(request.out)
    issued = forensic("identity", "issue", tmp_path / "csr", "--ca", ca)
    (tmp_path / "pem").write_text(issued.out)
    given = ["--chain", ca / "certificate.pem", "--crl", ca / "crl.pem"]  # in one command, nothing is pinned
    done = forensic("identity", "import", tmp_path / "pem", *given, "-w", root)
    assert done.code == 0, done.err
    verify = ["openssl", "verify", "-CAfile", ca / "certificate.pem", root / "identity" / "certificate.pem"]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    assert forensic("identity", "show", "-w", root, "--json").json["kind"] == "issued"


def test_the_passphrase_comes_from_the_descriptor_line_by_line(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    assert with_lines("secret\n", "init", "-w", root).code == 0
    assert b"ENCRYPTED" in (root / "identity" / "key.pem").read_bytes()
    assert with_lines("secret", "identity", "request", "-w", root).code == 0  # the last line needs no end
    for lines, code in (
        ("wrong\n", "identity.passphrase"),
        ("", "identity.passphrase-fd"),
        ("\xff\n", "identity.pass"),
    ):
        done = with_lines(lines, "identity", "request", "-w", root)
        assert (done.code, code in done.err) == (2, True), done.err
        assert "secret" not in done.err
    closed = forensic("--passphrase-fd", "77", "identity", "request", "-w", root)
    assert (closed.code, "identity.passphrase-fd" in closed.err) == (2, True)
    nobody = forensic("identity", "request", "-w", root)
    assert "identity.passphrase-needed" in nobody.err


def test_a_workspace_works_with_a_key_on_a_token(tmp_path: Path, real_clip: Path) -> None:
    environment = make_token(tmp_path / "hsm")
    root, description = tmp_path / "ws", tmp_path / "token.toml"
    description.write_text(f'module = "{softhsm_module()}"\ntoken_label = "{LABEL}"\nkey_label = "ada"\n')
    token = ["--token", description, "--generate-key"]
    done = with_lines(f"{PIN}\n", "init", "--examiner", "Ada", *token, "-w", root, env=environment)
    assert done.code == 0, done.err
    assert sorted(path.name for path in (root / "identity").iterdir()) == ["certificate.pem", "token.toml"]
    frames = ["--frames", "0:2", "--recipe", "plain-lanczos"]
    done = with_lines(f"{PIN}\n", "enhance", real_clip, *frames, "-w", root, env=environment)
    assert done.code == 0, done.err
    run = Path(done.last_line)
    assert forensic("verify", run).code == 0
    signed = subprocess.run(["pdfsig", "-nocert", run / "report.pdf"], capture_output=True, text=True, check=False)
    assert "Signature is Valid" in signed.stdout
    wrong = with_lines("0000\n", "enhance", real_clip, *frames, "-w", root, env=environment)
    assert "identity.passphrase" in wrong.err
    assert sound(root)


def test_the_keyring_is_used_only_after_it_was_asked_to_remember(tmp_path: Path) -> None:
    """With a keyring of the test's own, a plain file, named in the way that the library documents."""
    (tmp_path / "plainring.py").write_text(
        "import json, pathlib\nfrom keyring.backend import KeyringBackend\nfrom keyring.errors import "
        "PasswordDeleteError\nFILE = pathlib.Path(__file__).with_name('ring.json')\n"
        "def _read():\n    return json.loads(FILE.read_text()) if FILE.exists() else {}\n"
        "class Ring(KeyringBackend):\n    priority = 9\n"
        "    def get_password(self, service, name):\n        return _read().get(service + name)\n"
        "    def set_password(self, service, name, secret):\n"
        "        FILE.write_text(json.dumps({**_read(), service + name: secret}))\n"
        "    def delete_password(self, service, name):\n        kept = _read()\n"
        "        if kept.pop(service + name, None) is None:\n            raise PasswordDeleteError\n"
        "        FILE.write_text(json.dumps(kept))\n"
    )
    environment = {"PYTHON_KEYRING_BACKEND": "plainring.Ring", "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    root, ring = tmp_path / "ws", tmp_path / "ring.json"
    assert with_lines("secret\n", "init", "-w", root).code == 0
    assert forensic("identity", "request", "-w", root, env=environment).code == 2
    assert not ring.exists()
    done = with_lines("secret\n", "identity", "remember", "-w", root, env=environment)
    assert done.code == 0, done.err
    assert "secret" in ring.read_text()
    done = forensic("identity", "request", "-w", root, env=environment)
    assert done.code == 0, done.err
    assert forensic("identity", "forget", "-w", root, env=environment).code == 0
    assert json.loads(ring.read_text()) == {}
    assert forensic("identity", "request", "-w", root, env=environment).code == 2


def test_a_keyring_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    assert with_lines("secret\n", "init", "-w", root).code == 0
    none = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    done = with_lines("secret\n", "identity", "remember", "-w", root, env=none)
    assert (done.code, "identity.keyring" in done.err) == (2, True), done.err
    assert not (root / "identity" / "keyring").exists()


# Certificates


def test_only_a_certificate_for_this_key_and_role_is_imported(tmp_path: Path, authority: Authority) -> None:
    root = tmp_path / "ws"
    with made(root) as workspace:
        add_identity(workspace, name="Bea", lab=None, role="reviewer", passphrase=None)
        request = certificate_request(workspace.signer).encode()
        before = events(workspace)
        with reopened(root, identity="Bea") as bea, refused(VerificationFailed, "identity.mismatch"):
            theirs = issue(authority, request, role="examiner", days=30, now=utc_now())
            import_certificate(bea, "Bea", certificate_pem(theirs).encode(), b"")
        reviewer = issue(authority, request, role="reviewer", days=30, now=utc_now())
        with refused(UsageError, "identity.role"):
            import_certificate(workspace, None, certificate_pem(reviewer).encode(), b"")
        foreign = create_authority(tmp_path / "other", name="Other CA", passphrase=None, now=utc_now())
        good = certificate_pem(issue(authority, request, role="examiner", days=30, now=utc_now())).encode()
        with refused(VerificationFailed, "identity.chain"):
            import_certificate(workspace, None, good, (foreign.folder / "certificate.pem").read_bytes())
        assert events(workspace) == before
        import_certificate(workspace, None, good, (authority.folder / "certificate.pem").read_bytes())
        workspace.ledger.append("note.made", {"reason": "under the new name"})  # the same session goes on
    assert sound(root)


def test_an_import_cut_off_after_its_entry_is_completed_at_the_next_opening(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    root = tmp_path / "ws"
    with made(root) as workspace:
        pem = certificate_pem(
            issue(authority, certificate_request(workspace.signer).encode(), role="examiner", days=30, now=utc_now())
        )
        monkeypatch.setattr(enrolment, "install_certificate", killed)
        with pytest.raises(KeyboardInterrupt):
            import_certificate(workspace, None, pem.encode(), (authority.folder / "certificate.pem").read_bytes())
    monkeypatch.undo()
    with reopened(root) as again:
        assert again.signer.certificate_pem == pem
    assert load_identity(root / "identity").certificate_pem == pem
    assert sound(root)


def test_an_older_or_foreign_revocation_list_is_refused(tmp_path: Path, authority: Authority) -> None:
    from forensic.signing.authority import revoke

    root = tmp_path / "ws"
    old = (authority.folder / "crl.pem").read_bytes()
    with made(root) as workspace:
        with refused(VerificationFailed, "authority.list"):
            enrolment.import_revocation_list(workspace, None, old)  # nothing is pinned yet
        pin_authority(workspace, (authority.folder / "certificate.pem").read_bytes())
        from datetime import timedelta

        revoke(authority, None, days=30, now=utc_now() + timedelta(minutes=1))
        enrolment.import_revocation_list(workspace, None, (authority.folder / "crl.pem").read_bytes())
        with refused(VerificationFailed, "authority.list"):
            enrolment.import_revocation_list(workspace, None, old)
        foreign = create_authority(tmp_path / "other", name="Lab 7 CA", passphrase=None, now=utc_now())
        with refused(VerificationFailed, "authority.list"):
            enrolment.import_revocation_list(workspace, None, (foreign.folder / "crl.pem").read_bytes())
        assert events(workspace).count("authority.list-received") == 1


# Rotation and revocation


def test_rotation_gives_a_new_key_and_retires_the_old_one(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    with made(root, "old secret") as workspace:
        old = workspace.signer.key_id
        workspace.ledger.append("note.made", {"reason": "before"})
    done = with_lines("old secret\nnew secret\n", "identity", "rotate", "-w", root)
    assert done.code == 0, done.err
    with reopened(root, "new secret") as workspace:
        fresh = workspace.actor
        workspace.ledger.append("note.made", {"reason": "after"})
        assert (fresh.replaces, fresh.name, fresh.role) == (old, "Ada", "examiner")
        assert workspace.identities.known[old].state == "retired"
        assert events(workspace)[-3:] == ["identity.introduced", "identity.retired", "note.made"]
    assert (root / "identities" / f"retired-{old[:16]}" / "key.pem").is_file()
    with refused(UsageError, "identity.passphrase"):
        reopened(root, "old secret")
    assert sound(root)


@pytest.mark.parametrize("step", ["_protect_log_keys", "introduce", "rename", "retire"])
def test_a_rotation_cut_off_at_any_step_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from forensic.ledger.store import Ledger

    root = tmp_path / "ws"

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def exchange(self: Path, target: Path) -> Path:
        if self.name == NEXT:
            raise KeyboardInterrupt
        return renamed(self, target)

    renamed = Path.rename
    with made(root, "old") as workspace:
        old = workspace.signer.key_id
        if step == "introduce":
            monkeypatch.setattr(Ledger, "introduce", killed)
        elif step == "rename":
            monkeypatch.setattr(Path, "rename", exchange)
        elif step == "retire":
            monkeypatch.setattr(Ledger, "append", killed)
        else:
            monkeypatch.setattr(enrolment, step, killed)
        with pytest.raises(KeyboardInterrupt):
            rotate(workspace, new_passphrase=lambda: "new")
    monkeypatch.undo()
    layout = WorkspaceLayout(root)
    if layout.further_identity(NEXT).is_dir() and layout.identity.is_dir():
        with reopened(root, "old") as workspace:
            rotate(workspace, new_passphrase=lambda: "new")
    with reopened(root, "new") as workspace:
        assert workspace.actor.replaces == old
        assert workspace.identities.known[old].state == "retired"
        assert events(workspace).count("identity.introduced") == 1
    assert sound(root)


def test_the_logs_keys_follow_the_new_passphrase(tmp_path: Path) -> None:
    from forensic.signing.keyfile import read_private_key, write_private_key

    root = tmp_path / "ws"
    with made(root, "old") as workspace:
        from cryptography.hazmat.primitives.asymmetric import ed25519

        key = ed25519.Ed25519PrivateKey.generate()
        workspace.layout.log_key.parent.mkdir()
        workspace.layout.log_key.write_bytes(write_private_key(key, "old"))
    with reopened(root, "old") as workspace:
        rotate(workspace, new_passphrase=lambda: "new")
    opened = read_private_key(WorkspaceLayout(root).log_key.read_bytes(), "new", "here")
    assert opened.public_key() == key.public_key()


def test_a_key_is_revoked_by_another_and_signs_no_more(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    with made(root) as workspace:
        bea = add_identity(workspace, name="Bea", lab=None, role="reviewer", passphrase=None)
        for key, since, code in (
            (workspace.signer.key_id, None, "identity.revoke-own"),
            (bea.key_id[:4], None, "identity.unknown"),
            ("0" * 64, None, "identity.unknown"),
            (bea.key_id, "yesterday", "identity.since"),
            (bea.key_id, "2026-01-31", "identity.since"),
            (bea.key_id, "2999-01-31T12:00:00Z", "identity.since"),
        ):
            with refused(UsageError, code):
                revoke_identity(workspace, key, reason="lost on a train", since=since)
        known = revoke_identity(workspace, bea.key_id[:8], reason="lost on a train", since="2026-01-31T12:00:00Z")
        assert known.revoked is not None and known.revoked.since_utc == "2026-01-31T12:00:00Z"
        with refused(UsageError, "identity.revoked"):
            revoke_identity(workspace, bea.key_id, reason="again", since=None)
    with refused(UsageError, "ledger.closed-identity"):
        reopened(root, identity="Bea")
    assert sound(root)


# Names and roles


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Bea", "Bea"),
        ("Bea Ó'Neill", "Bea Ó'Neill"),
        ("a/b\\c:d", "a_b_c_d"),
        ("../x", "_x"),
        ("鑑識 太郎", "鑑識 太郎"),
        (".next", "next"),
    ],
)
def test_a_persons_name_becomes_a_folder_that_stays_among_the_identities(name: str, folder: str) -> None:
    assert folder_name(name) == folder


@pytest.mark.parametrize("name", ["", " ", "..", "///", "x" * 65, "\n"])
def test_a_name_that_leaves_no_folder_is_refused(name: str) -> None:
    with refused(UsageError, "identity.name"):
        folder_name(name)


def test_nobody_is_added_twice_or_in_a_role_that_does_not_exist(tmp_path: Path) -> None:
    with made(tmp_path / "ws") as workspace:
        add_identity(workspace, name="Bea", lab=None, role="reviewer", passphrase=None)
        for name in ("Bea", "BEA"):
            with refused(UsageError, "identity.exists"):
                add_identity(workspace, name=name, lab=None, role="reviewer", passphrase=None)
        with refused(UsageError, "identity.role"):
            add_identity(workspace, name="Cy", lab=None, role="judge", passphrase=None)
        with refused(UsageError, "identity.unknown"):
            reopened(tmp_path / "ws", identity="Cy")


def test_a_workspace_of_the_first_release_has_an_examiner(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(Path(__file__).parents[1] / "compat" / "0.1.0" / "workspace.tar.xz") as archive:
        unpack(archive, tmp_path)
    (ledger,) = tmp_path.rglob("ledger.sqlite")
    with open_workspace(ledger.parent, None) as workspace:
        (known,) = workspace.identities.known.values()
        assert (known.role, known.state) == ("examiner", "active")
