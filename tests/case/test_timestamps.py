"""Timestamps in casework: fetched when they can be, queued while they cannot, kept, recorded, and in the report."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensic.case.anchors import issue_checkpoint
from forensic.case.history import history
from forensic.case.layout import WorkspaceLayout
from forensic.case.settings import timestamp_authority, timestamp_settings
from forensic.case.timestamping import fetch_pending, pending
from forensic.case.verification.checks import Verdict
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, open_workspace
from forensic.errors import ForensicError, UsageError
from forensic.report.verification import check_report
from tests.case.conftest import Case, flip, forensic
from tests.tsa import LocalTsa, openssl_agrees


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTsa]:
    with LocalTsa(tmp_path_factory.mktemp("tsa") / "tsa") as server:
        yield server


@pytest.fixture
def trust(tsa: LocalTsa) -> Trust:
    return Trust(tsa_roots=(tsa.root_pem.read_bytes(),))


def _opened(case: Case) -> Workspace:
    return open_workspace(case.root, lambda: "")


def _settings(root: Path, tsa: LocalTsa, *, lists: bool = False) -> None:
    for name in ("root.pem", "crl.pem"):
        shutil.copy(tsa.folder / name, root / f"tsa-{name}")
    text = f'[timestamp]\nurl = "{tsa.url}"\nroots = ["tsa-root.pem"]\n'
    (root / "settings.toml").write_text(text + ('crls = ["tsa-crl.pem"]\n' if lists else ""))


def _token(case: Case) -> Path:
    digest = hashlib.sha256((case.run / "report.pdf").read_bytes()).hexdigest()
    return WorkspaceLayout(case.root).document_timestamp(digest)


def test_offline_is_normal_and_the_queue_is_what_lacks_a_token(attacked: Case, trust: Trust) -> None:
    said: list[str] = []
    with _opened(attacked) as workspace:
        before = workspace.ledger.size
        assert fetch_pending(workspace, say=said.append) == []
        assert workspace.ledger.size == before  # nobody was asked, nothing happened
        issue_checkpoint(workspace)
        assert [item.of for item in pending(workspace)] == ["checkpoint", "report"]
        gone = fetch_pending(workspace, "http://127.0.0.1:1/", said.append)
        assert [one.code for one in gone] == ["timestamp.unreachable"]
        assert len(list(pending(workspace))) == 2
        assert [entry.event for entry in workspace.ledger.entries()][-1] == "timestamp.failed"
    assert "1 without a timestamp" in said[0] and "Still queued: 2" in said[-1]
    verification = verify(attacked.root, trust=trust)
    assert verification.verdict is Verdict.SIGNED and Verdict.TIMESTAMPED not in verification.reached


def test_tokens_are_fetched_once_stored_and_told(attacked: Case, tsa: LocalTsa, trust: Trust) -> None:
    with _opened(attacked) as workspace:
        anchor = issue_checkpoint(workspace)
        got = fetch_pending(workspace, tsa.url)
        assert [(one.of, one.code) for one in got] == [("checkpoint", ""), ("report", "")]
        assert fetch_pending(workspace, tsa.url) == [] and not list(pending(workspace))
        told = [line["summary"] for line in history(workspace) if line["name"] == "timestamp.received"]
    assert len(told) == 2 and told[0].startswith(f"timestamp {got[0].utc} on the checkpoint by CN=Test TSA")
    assert openssl_agrees(_token(attacked), attacked.run / "report.pdf", tsa.root_pem)
    assert openssl_agrees(anchor.folder.timestamp, anchor.folder.checkpoint, tsa.root_pem)
    for target in (attacked.root, attacked.run):
        verification = verify(target, trust=trust)
        assert verification.verdict is Verdict.TIMESTAMPED
        assert {"T1", "T5"} <= {check.number for check in verification.checks}
    assert verify(attacked.run).verdict is Verdict.SIGNED  # without a root that the verifier named


def test_a_report_given_out_alone_takes_its_token_along(
    attacked: Case, tsa: LocalTsa, trust: Trust, tmp_path: Path
) -> None:
    with _opened(attacked) as workspace:
        fetch_pending(workspace, tsa.url)
    alone = tmp_path / "given" / "report.pdf"
    alone.parent.mkdir()
    shutil.copy(attacked.run / "report.pdf", alone)
    assert verify(alone, trust=trust).verdict is Verdict.SIGNED
    shutil.copy(_token(attacked), alone.with_name("report.pdf.tsr"))
    assert verify(alone, trust=trust).verdict is Verdict.TIMESTAMPED
    flip(alone.with_name("report.pdf.tsr"))
    assert verify(alone, trust=trust).verdict is Verdict.FAILED


def test_killed_between_token_and_entry(attacked: Case, tsa: LocalTsa, trust: Trust) -> None:
    """The token is on the disk, the ledger does not say so yet: it is taken in, nobody is asked again."""
    with _opened(attacked) as workspace:
        (item,) = pending(workspace)
        authority = timestamp_authority(workspace.layout, tsa.url)
        assert authority is not None
        item.token.parent.mkdir()
        item.token.write_bytes(authority.stamp(bytes.fromhex(item.sha256)).response)
        asked = len(tsa.requests)
        assert [one.code for one in fetch_pending(workspace, tsa.url)] == [""]
        assert len(tsa.requests) == asked
    assert verify(attacked.run, trust=trust).verdict is Verdict.TIMESTAMPED


def test_a_damaged_token_is_fetched_anew_and_that_is_told(attacked: Case, tsa: LocalTsa) -> None:
    with _opened(attacked) as workspace:
        fetch_pending(workspace, tsa.url)
        flip(_token(attacked))
        damaged = hashlib.sha256(_token(attacked).read_bytes()).hexdigest()
        assert verify(attacked.run).verdict is Verdict.FAILED
        assert [one.code for one in fetch_pending(workspace, tsa.url)] == [""]
        last = [entry for entry in workspace.ledger.entries() if entry.event == "timestamp.received"][-1]
    assert last.data["replaces"] == damaged
    assert verify(attacked.run).verdict is Verdict.SIGNED


def test_what_lies_among_the_timestamps_is_named(attacked: Case, tsa: LocalTsa) -> None:
    with _opened(attacked) as workspace:
        fetch_pending(workspace, tsa.url)
    (attacked.root / "timestamps" / f"{'0' * 64}.tsr").write_bytes(b"planted")
    verification = verify(attacked.root)
    assert verification.verdict is Verdict.SIGNED
    assert any("knows no such report" in note for note in verification.not_checked)


# Reports ----------------------------------------------------------------------------------------------------------


def test_a_report_issued_again_gets_the_level_that_is_possible_now(attacked: Case, tsa: LocalTsa, trust: Trust) -> None:
    """B-B from an offline machine; then B-T; then, with the authority's revocation list, B-LTA."""
    assert check_report(attacked.run / "report.pdf").level == "B-B"
    for lists, level in ((False, "B-T"), (True, "B-LTA")):
        _settings(attacked.root, tsa, lists=lists)
        done = forensic("report", attacked.run_id, "-w", attacked.root)
        assert done.code == 0 and f"PAdES {level}" in done.err
        assert check_report(attacked.run / "report.pdf").level == level
        assert verify(attacked.run, trust=trust).verdict is Verdict.TIMESTAMPED
    assert verify(attacked.root, trust=trust).verdict is Verdict.SIGNED  # the ledger itself has no timestamp
    with _opened(attacked) as workspace:
        entries = [entry.data for entry in workspace.ledger.entries(event="timestamp.received")]
        # The first report lies there superseded, without a timestamp; the others carry theirs.
        assert [item.name.partition(" ")[0] for item in pending(workspace)] == ["report-superseded-1.pdf"]
    assert [(entry["of"], entry["level"]) for entry in entries] == [
        ("report signature", "B-T"), ("report signature", "B-LTA"), ("report document", "B-LTA"),
    ]  # fmt: skip
    assert "no revocation list about CN=Test TSA" in entries[0]["long_term"] and entries[1]["long_term"] is None
    told = subprocess.run(["pdfsig", attacked.run / "report.pdf"], capture_output=True, text=True, check=False).stdout
    assert told.count("Signature is Valid.") == 1 and told.count("Signature #") == 2


def test_an_unreachable_authority_costs_the_level_only(attacked: Case, tsa: LocalTsa) -> None:
    (attacked.root / "settings.toml").write_text('[timestamp]\nurl = "http://127.0.0.1:1/"\n')
    done = forensic("report", attacked.run_id, "-w", attacked.root)
    assert done.code == 0 and "no timestamp now" in done.err and "forensic anchor" in done.err
    assert check_report(attacked.run / "report.pdf").level == "B-B"
    with _opened(attacked) as workspace:
        last = list(workspace.ledger.entries(event="timestamp.failed"))[-1]
        assert (last.run, last.data["code"]) == (attacked.run_id, "timestamp.unreachable")
        # The queue holds the report: without "report.issued" it would be unknown.
        assert sum(item.of == "report" for item in pending(workspace)) == 2
    assert verify(attacked.run).verdict is Verdict.SIGNED


def test_settings_that_cannot_be_used_are_said_and_cost_the_level_only(attacked: Case) -> None:
    (attacked.root / "settings.toml").write_text('[timestamp]\nadress = "x"\n')
    done = forensic("report", attacked.run_id, "-w", attacked.root)
    assert done.code == 0 and "has no key 'adress'" in done.err
    with _opened(attacked) as workspace:
        assert next(iter(workspace.ledger.entries(event="timestamp.failed"))).data["code"] == "settings.invalid"
        with pytest.raises(UsageError):
            fetch_pending(workspace)


def test_an_authority_that_does_not_lead_to_the_configured_roots_is_not_used(
    attacked: Case, tsa: LocalTsa, tmp_path: Path
) -> None:
    other = LocalTsa(tmp_path / "other").make()
    shutil.copy(other.root_pem, attacked.root / "root.pem")
    (attacked.root / "settings.toml").write_text(f'[timestamp]\nurl = "{tsa.url}"\nroots = ["root.pem"]\n')
    with _opened(attacked) as workspace:
        assert [one.code for one in fetch_pending(workspace)] == ["timestamp.untrusted"]
    assert not _token(attacked).exists()


def test_a_report_by_another_key_is_not_issued(attacked: Case, tsa: LocalTsa) -> None:
    """Its record would have another signer than it has itself, and fail for ever."""
    done = forensic("identity", "rotate", "-w", attacked.root)
    assert done.code == 0, done.err
    done = forensic("report", attacked.run_id, "-w", attacked.root)
    assert done.code == 2 and "report.signer" in done.err
    assert verify(attacked.run).verdict is Verdict.SIGNED


# Settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[timestamp", "[other]\nx = 1\n", "timestamp = 3\n", "[timestamp]\nurl = 3\n", "[timestamp]\ntimeout_s = 0\n",
        "[timestamp]\ntimeout_s = true\n", "[timestamp]\ntimeout_s = nan\n", '[timestamp]\nroots = "x"\n',
        "[timestamp]\ncrls = [3]\n", "\udcff",
    ],
)  # fmt: skip
def test_settings_are_read_strictly(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as raised:
        timestamp_settings(WorkspaceLayout(tmp_path))
    assert raised.value.code == "settings.invalid"


def test_a_root_that_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[timestamp]\nurl = "http://tsa/"\nroots = ["gone.pem"]\n')
    with pytest.raises(ForensicError) as raised:
        timestamp_authority(WorkspaceLayout(tmp_path))
    assert raised.value.code == "settings.invalid" and "gone.pem" in raised.value.message


def test_no_settings_are_no_authority(tmp_path: Path) -> None:
    assert timestamp_authority(WorkspaceLayout(tmp_path)) is None
    assert timestamp_settings(WorkspaceLayout(tmp_path)).url is None


def test_a_certified_examiners_report_is_made_to_last_from_the_first(
    tmp_path: Path, real_clip: Path, tsa: LocalTsa, trust: Trust
) -> None:
    """Lab CA, certificate, revocation list, timestamp authority: B-LTA when the run ends, nothing to be added later."""
    root, authority = tmp_path / "ws", tmp_path / "ca"
    files = tmp_path / "request.pem", tmp_path / "certificate.pem"
    for command in (
        ("init", "--examiner", "Ada Examiner", "--lab", "Lab 7", "-w", root),
        ("identity", "ca-init", authority, "--name", "Lab 7 CA"),
        ("identity", "pin-ca", authority / "certificate.pem", "-w", root),
        ("identity", "request", "--out", files[0], "-w", root),
        ("identity", "issue", files[0], "--ca", authority, "--role", "examiner", "--out", files[1]),
        (
            "identity",
            "import",
            files[1],
            "--chain",
            authority / "certificate.pem",
            "--crl",
            authority / "crl.pem",
            "-w",
            root,
        ),
    ):
        done = forensic(*command)
        assert done.code == 0, (command, done.err)
    _settings(root, tsa, lists=True)
    done = forensic("enhance", real_clip, "-w", root, "--frames", "0:1", "--recipe", "plain-lanczos")
    assert done.code == 0 and "PAdES B-LTA" in done.err, done.err
    run = Path(done.last_line)
    both = Trust(tsa_roots=trust.tsa_roots, authorities=((authority / "certificate.pem").read_bytes(),))
    verification = verify(run, trust=both)
    assert verification.verdict is Verdict.TIMESTAMPED
    assert {"I3", "T3", "T4"} <= {check.number for check in verification.checks}
    with open_workspace(root, lambda: "") as workspace:
        assert not list(pending(workspace))
