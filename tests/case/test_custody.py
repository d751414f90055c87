"""Acts of custody: recorded in a possible order, with who, when and why; what is refused is recorded too."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.case import copyout, destruction
from forensic.case.acquire import acquire
from forensic.case.copyout import export
from forensic.case.custody import Circumstances, Party, access, hand_back, receive, standings, stated_utc
from forensic.case.destruction import destroy
from forensic.case.enhance import enhance
from forensic.case.exhibits import Exhibit, find_exhibit
from forensic.case.handover import read_acknowledgement, read_transfer
from forensic.case.history import history, people, summary
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reproduce import reproduce
from forensic.case.transferring import acknowledge, note_paper, take_in, transfer
from forensic.case.verification.checks import Verdict
from forensic.case.verify import verify
from forensic.case.workspace import Workspace, create_workspace
from forensic.errors import BadInput, ForensicError, UsageError, VerificationFailed
from forensic.hashes import sha256_file
from tests.case.conftest import forensic

WHY = Circumstances(reason="ordered by the court")
TO = Circumstances(reason="second opinion", target=Party("B. Second", "Institute"))
FROM = Circumstances(source=Party("PC 12", "Police"))
SHORT = EnhanceRequest(recipe="plain-lanczos", frames=(0, 2))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "ws", examiner="Ada", lab="Lab 7", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Workspace]:
    with create_workspace(tmp_path / "other", examiner="Bob", lab="Lab 9", passphrase=None, origin="test") as opened:
        yield opened


@pytest.fixture
def exhibit(workspace: Workspace, real_clip: Path) -> Exhibit:
    return acquire(workspace, real_clip, case="C1", exhibit_id="X1", note=None, progress=Silent())


def _last(workspace: Workspace) -> tuple[str, dict[str, Any]]:
    entry = list(workspace.ledger.entries())[-1]
    return entry.event, dict(entry.data)


def _sound(workspace: Workspace) -> None:
    verification = verify(workspace.layout.root)
    assert verification.verdict is Verdict.SIGNED, [check for check in verification.checks if not check.passed]


def _refused(workspace: Workspace, code: str) -> None:
    event, data = _last(workspace)
    assert (event, data["code"]) == ("custody.failed", code)


# Receiving, accessing, returning -----------------------------------------------------------------


def test_receipt_may_come_before_acquisition_and_fixes_the_case(workspace: Workspace, real_clip: Path) -> None:
    entry = receive(workspace, "X1", "C1", Circumstances(
        source=Party("PC 12", "Police"), when="2026-01-02T03:04:05+01:00", seal="bag 7, intact"))  # fmt: skip
    assert (entry.event, entry.case, entry.exhibit) == ("custody.received", "C1", "X1")
    assert entry.data["stated_utc"] == "2026-01-02T02:04:05Z"
    assert entry.data["from"] == {"person": "PC 12", "organisation": "Police"}
    with pytest.raises(UsageError):
        acquire(workspace, real_clip, case="C2", exhibit_id="X1", note=None, progress=Silent())
    acquire(workspace, real_clip, case="C1", exhibit_id="X1", note=None, progress=Silent())
    assert receive(workspace, "X1", None, FROM).case == "C1"
    _sound(workspace)


def test_what_must_be_said_is_asked_for_and_the_refusal_recorded(workspace: Workspace, exhibit: Exhibit) -> None:
    for act, code in (
        (lambda: receive(workspace, "X9", None, FROM), "custody.case-needed"),
        (lambda: receive(workspace, "X1", "C1", Circumstances()), "custody.party"),
        (lambda: receive(workspace, "X1", "C2", FROM), "custody.order"),
        (lambda: access(workspace, "X1", Circumstances()), "custody.reason"),
        (lambda: access(workspace, "X1", Circumstances(reason="  ")), "custody.reason"),
        (lambda: access(workspace, "unheard-of", WHY), "custody.order"),
        (lambda: hand_back(workspace, "X1", WHY), "custody.party"),
        (lambda: access(workspace, "X1", Circumstances(reason="x", when="yesterday")), "custody.time"),
    ):
        with pytest.raises(UsageError) as caught:
            act()
        assert caught.value.code == code
        _refused(workspace, code)
    _sound(workspace)


@pytest.mark.parametrize("when", ["2026-01-01T10:00", "2026-01-01", "10:00Z", "2026-13-01T10:00Z", "now", "",
                                  "20260101T100000Z", "0001-01-01T00:00:00+23:00", "2026-01-01T10:00Zx"])  # fmt: skip
def test_a_time_without_its_zone_is_no_time(when: str) -> None:
    with pytest.raises(UsageError):
        stated_utc(when)


def test_the_future_is_refused_and_the_past_is_put_into_utc() -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
    with pytest.raises(UsageError):
        stated_utc(later.isoformat(timespec="seconds"))
    assert stated_utc("2026-01-01T10:00:00.5-03:30") == "2026-01-01T13:30:00Z"
    assert stated_utc(None) is None


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_usage_error(text: str) -> None:
    try:
        stated_utc(text)
    except UsageError as error:
        assert error.code == "custody.time"


def test_a_returned_exhibit_that_was_never_acquired_cannot_be_accessed(workspace: Workspace) -> None:
    receive(workspace, "X1", "C1", FROM)
    access(workspace, "X1", WHY)
    hand_back(workspace, "X1", TO)
    with pytest.raises(UsageError):
        access(workspace, "X1", WHY)
    receive(workspace, "X1", None, FROM)
    access(workspace, "X1", WHY)
    assert standings(workspace)["X1"].in_words == "received"
    _sound(workspace)


# Export --------------------------------------------------------------------------------------------


def test_an_export_is_checked_by_sha256sum_and_recorded(workspace: Workspace, exhibit: Exhibit, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = export(workspace, "X1", tmp_path / "out", WHY, Silent())
    assert [file.name for file in done.files] == ["X1.mp4", "X1.mp4.frames.jsonl", "X1.mp4.sha256"]
    checked = subprocess.run(["sha256sum", "-c", "--strict", "X1.mp4.sha256"], cwd=tmp_path / "out", check=False)
    assert checked.returncode == 0
    assert done.entry.data["sha256"] == exhibit.sha256
    _sound(workspace)


def test_an_export_never_overwrites_and_never_goes_into_the_workspace(
    workspace: Workspace, exhibit: Exhibit, tmp_path: Path
) -> None:
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"theirs")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "listed.mp4.sha256").write_bytes(b"theirs")
    (tmp_path / "inside").symlink_to(workspace.layout.root)
    for target, code in (
        (taken, "export.exists"),
        (tmp_path / "dangling.mp4", "export.exists"),
        (tmp_path / "listed.mp4", "export.exists"),
        (workspace.layout.root / "copy.mp4", "export.inside"),
        (tmp_path / "inside" / "exhibits", "export.inside"),
        (tmp_path / "inside" / "copy.mp4", "export.inside"),
        (tmp_path / "no" / "such" / "folder.mp4", "export.folder"),
        (tmp_path / "two\nlines.mp4", "export.name"),
    ):
        with pytest.raises(UsageError) as caught:
            export(workspace, "X1", target, WHY, Silent())
        assert caught.value.code == code, target
        _refused(workspace, code)
    assert taken.read_bytes() == (tmp_path / "listed.mp4.sha256").read_bytes() == b"theirs"
    assert not (tmp_path / "listed.mp4").exists()
    assert not (tmp_path / "nowhere").exists()


def test_an_id_with_slashes_and_dots_names_no_path(workspace: Workspace, real_clip: Path, tmp_path: Path) -> None:
    acquire(workspace, real_clip, case="C1", exhibit_id="../../etc/X", note=None, progress=Silent())
    (tmp_path / "out").mkdir()
    done = export(workspace, "../../etc/X", tmp_path / "out", WHY, Silent())
    assert done.files[0].parent == tmp_path / "out"
    assert done.files[0].name == "etc_X.mp4"


# Transfer and acknowledgement ---------------------------------------------------------------------


def _handed(workspace: Workspace, tmp_path: Path) -> tuple[Path, Path]:
    transfer(workspace, "X1", tmp_path / "transfer.json", TO)
    copy = export(workspace, "X1", tmp_path / "given.mp4", WHY, Silent()).files[0]
    return tmp_path / "transfer.json", copy


def test_a_transfer_is_acknowledged_with_the_receivers_key(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path
) -> None:
    statement, copy = _handed(workspace, tmp_path)
    sender, own = workspace.signer.facts()["certificate_sha256"], receiver.signer.facts()["certificate_sha256"]
    answer = tmp_path / "ack.json"
    done = acknowledge(receiver, statement, copy, answer, Circumstances(), Silent(), fingerprint=sender)
    assert done.accepted is True
    taken = take_in(workspace, answer, Circumstances(), fingerprint=own)
    assert taken.accepted is True
    assert taken.entry.data["signer"]["certificate_sha256"] == own
    for each in (workspace, receiver):
        _sound(each)
    assert not any("not acknowledged" in item for item in verify(workspace.layout.root).not_checked)
    for file, kind in ((statement, "transfer"), (answer, "acknowledgement")):
        verification = verify(file)
        assert (verification.kind, verification.verdict) == (kind, Verdict.SIGNED)
    for file, read in ((statement, read_transfer), (answer, read_acknowledgement)):
        assert read(file.read_bytes()).signer["certificate_sha256"] in (sender, own)


def test_the_statement_is_checked_by_openssl_alone(workspace: Workspace, exhibit: Exhibit, tmp_path: Path) -> None:
    statement, _ = _handed(workspace, tmp_path)
    script = """
    jq -j .payload transfer.json | base64 -d > payload.json
    jq -j .signatures[0].sig transfer.json | base64 -d > payload.sig
    jq -j .signatures[0].cert transfer.json > signer.pem
    openssl x509 -in signer.pem -noout -pubkey > signer.pub
    printf 'DSSEv1 28 application/vnd.in-toto+json %d ' $(wc -c < payload.json) > signed.bin
    cat payload.json >> signed.bin
    openssl dgst -sha256 -verify signer.pub -signature payload.sig signed.bin
    """
    done = subprocess.run(["sh", "-ec", script], cwd=statement.parent, capture_output=True, text=True, check=False)
    assert "Verified OK" in done.stdout, done.stderr


def test_another_file_is_not_acknowledged_but_refused_with_a_signature(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path
) -> None:
    statement, copy = _handed(workspace, tmp_path)
    copy.write_bytes(copy.read_bytes() + b"x")
    done = acknowledge(receiver, statement, copy, tmp_path / "ack.json", Circumstances(), Silent())
    assert done.accepted is False
    taken = take_in(workspace, tmp_path / "ack.json", Circumstances())
    assert taken.accepted is False
    assert "another digest" in taken.entry.data["refused"]
    for each in (workspace, receiver):
        _sound(each)


def test_a_receiver_may_refuse_for_a_reason(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path
) -> None:
    statement, copy = _handed(workspace, tmp_path)
    done = acknowledge(
        receiver, statement, copy, tmp_path / "ack.json", Circumstances(), Silent(), refuse="seal broken"
    )
    assert (done.accepted, done.entry.data["refused"]) == (False, "seal broken")
    assert take_in(workspace, tmp_path / "ack.json", Circumstances()).entry.data["refused"] == "seal broken"
    _sound(workspace)


def test_a_transfer_addressed_to_a_certificate_is_for_nobody_else(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path
) -> None:
    transfer(workspace, "X1", tmp_path / "transfer.json", TO, fingerprint="ab" * 32)
    with pytest.raises(UsageError) as caught:
        acknowledge(receiver, tmp_path / "transfer.json", exhibit.original, tmp_path / "a.json", WHY, Silent())
    assert caught.value.code == "transfer.other-recipient"
    _refused(receiver, "transfer.other-recipient")


def test_receipt_on_paper_is_recorded_as_a_claim(workspace: Workspace, exhibit: Exhibit, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        note_paper(workspace, "X1", "Registry, 3 March, book 17", Circumstances())
    transfer(workspace, "X1", tmp_path / "transfer.json", TO)
    entry = note_paper(workspace, "X1", "Registry, 3 March, book 17", Circumstances()).entry
    assert entry.data["accepted"] is None
    assert "claimed" in summary(entry.event, entry.data)
    verification = verify(workspace.layout.root)
    assert verification.verdict is Verdict.SIGNED
    assert any("on paper, only the sender says so" in item for item in verification.not_checked)


@pytest.mark.parametrize("damage", ["payload", "other", "garbage", "missing"])
def test_a_statement_that_does_not_hold_is_refused_and_recorded(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path, damage: str
) -> None:
    statement, copy = _handed(workspace, tmp_path)
    data = statement.read_bytes()
    if damage == "payload":
        envelope = json.loads(data)
        envelope["payload"] = envelope["payload"][:-8] + "AAAAAAA="
        statement.write_bytes(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode())
    elif damage == "other":  # a record where a transfer should be
        statement.write_bytes(read_other(receiver))
    elif damage == "garbage":
        statement.write_bytes(os.urandom(300))
    else:
        statement.unlink()
    with pytest.raises(ForensicError) as caught:
        acknowledge(receiver, statement, copy, tmp_path / "ack.json", Circumstances(), Silent())
    assert isinstance(caught.value, (BadInput, VerificationFailed))
    assert _last(receiver)[0] == "custody.failed"
    assert not (tmp_path / "ack.json").exists()


def read_other(workspace: Workspace) -> bytes:
    from forensic.signing.statement import RUN_PREDICATE, Subject, build_statement, sign_statement

    return sign_statement(build_statement(RUN_PREDICATE, [Subject("a", "00" * 32)], {}), workspace.signer)


# Destruction ---------------------------------------------------------------------------------------


def test_destruction_removes_the_copy_alone_and_verify_knows_why(
    workspace: Workspace, exhibit: Exhibit, real_clip: Path
) -> None:
    before = sha256_file(real_clip)
    run = enhance(workspace, exhibit, SHORT, Silent())
    destroy(workspace, "X1", exhibit.sha256[:12], WHY)
    assert sorted(path.name for path in exhibit.folder.root.iterdir()) == ["acquisition.json", "frames.jsonl"]
    assert sha256_file(real_clip) == before
    _sound(workspace)
    for work in (
        lambda: enhance(workspace, exhibit, SHORT, Silent()),
        lambda: reproduce(workspace, run.run_id, Silent()),
        lambda: acquire(workspace, real_clip, case="C1", exhibit_id="X1", note=None, progress=Silent()),
    ):
        with pytest.raises(UsageError) as caught:
            work()
        assert caught.value.code == "exhibit.destroyed"
    _sound(workspace)


@pytest.mark.parametrize("confirm", ["", "1c4add7838b", "ff" * 32, "1C4ADD7838B07X", "1c4add7838b0 7"])
def test_destruction_without_the_right_digits_destroys_nothing(
    workspace: Workspace, exhibit: Exhibit, confirm: str
) -> None:
    with pytest.raises(UsageError) as caught:
        destroy(workspace, "X1", confirm, WHY)
    assert caught.value.code == "destroy.confirm"
    _refused(workspace, "destroy.confirm")
    assert exhibit.original.is_file()


def test_a_copy_that_another_exhibit_needs_is_kept_until_that_one_goes(
    workspace: Workspace, exhibit: Exhibit, real_clip: Path
) -> None:
    acquire(workspace, real_clip, case="C2", exhibit_id="X2", note=None, progress=Silent())
    first = destroy(workspace, "X1", exhibit.sha256, WHY)
    assert (first.data["removed"], first.data["kept_for"]) == (False, [{"case": "C2", "exhibit": "X2"}])
    assert exhibit.original.is_file()
    with pytest.raises(UsageError):
        enhance(workspace, exhibit, SHORT, Silent())
    _sound(workspace)
    second = destroy(workspace, "X2", exhibit.sha256, WHY)
    assert second.data["removed"] is True
    assert not exhibit.original.exists()
    _sound(workspace)


def test_the_same_file_can_be_acquired_again_under_a_new_id(
    workspace: Workspace, exhibit: Exhibit, real_clip: Path
) -> None:
    destroy(workspace, "X1", exhibit.sha256, WHY)
    again = acquire(workspace, real_clip, case="C1", exhibit_id="X2", note=None, progress=Silent())
    assert again.entry["copy_restored"] is True
    assert enhance(workspace, again, SHORT, Silent()).predicate["exhibit"]["id"] == "X2"
    _sound(workspace)
    with pytest.raises(UsageError):
        enhance(workspace, exhibit, SHORT, Silent())


def test_destruction_cut_off_in_the_middle_is_completed(
    workspace: Workspace, exhibit: Exhibit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(destruction, "check_kept", cut)
        with pytest.raises(ForensicError):
            destroy(workspace, "X1", exhibit.sha256, WHY)
    assert not exhibit.original.exists()
    _sound(workspace)
    with pytest.raises(UsageError) as caught:
        enhance(workspace, exhibit, SHORT, Silent())
    assert caught.value.code == "exhibit.destroyed"
    destroy(workspace, "X1", exhibit.sha256, WHY)
    assert standings(workspace)["X1"].in_words == "copy destroyed"
    _sound(workspace)


def test_a_copy_in_the_way_of_destruction_is_not_overlooked(workspace: Workspace, exhibit: Exhibit) -> None:
    shutil.copy(exhibit.original, exhibit.folder.root / "original.bak")
    with pytest.raises(VerificationFailed) as caught:
        destroy(workspace, "X1", exhibit.sha256, WHY)
    assert caught.value.code == "destroy.remains"
    assert standings(workspace)["X1"].in_words == "destruction begun"


def test_two_acts_at_once_do_not_contradict_each_other(workspace: Workspace, exhibit: Exhibit, tmp_path: Path) -> None:
    """Export and destruction race; whatever wins, the ledger tells a possible story."""
    from forensic.case.workspace import open_workspace

    (tmp_path / "out").mkdir()

    def exporting() -> None:
        with open_workspace(workspace.layout.root, lambda: "") as opened:
            for number in range(6):
                try:
                    export(opened, "X1", tmp_path / "out" / f"{number}.mp4", WHY, Silent())
                except (UsageError, VerificationFailed, ForensicError):
                    continue

    thread = threading.Thread(target=exporting)
    thread.start()
    destroy(workspace, "X1", exhibit.sha256, WHY)
    thread.join()
    verification = verify(workspace.layout.root)
    assert not [check for check in verification.checks if check.number in ("H1", "H2") and not check.passed]


# The log -------------------------------------------------------------------------------------------


def test_the_log_tells_an_exhibits_whole_story_to_people(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    forensic("init", "-w", root, "--examiner", "Ada", "--lab", "Lab 7")
    received = forensic("custody", "receive", "X1", "--case", "C1", "--from", "PC 12", "--from-org", "Police",
                        "--when", "2026-01-02T03:04:05+01:00", "--seal", "bag 7", "-w", root)  # fmt: skip
    assert received.code == 0, received.err
    assert forensic("acquire", real_clip, "--case", "C1", "--exhibit", "X1", "-w", root).code == 0
    assert forensic("custody", "access", "X1", "-w", root).code == 2  # no reason: a usage error
    done = forensic("custody", "access", "X1", "--reason", "viewing", "--by", "A. Counsel", "-w", root, "--json")
    assert done.json["event"] == "custody.accessed"
    text = forensic("log", "--exhibit", "X1", "-w", root).out
    for told in ("custody.received", "from PC 12, Police", "stated time 2026-01-02T03:04:05+01:00", "seal: bag 7",
                 "acquisition.started", "exhibit.acquired", "by A. Counsel", "reason: viewing", "CN=Ada"):  # fmt: skip
        assert told in text, told
    entries = forensic("log", "--case", "C1", "-w", root, "--json").json
    assert entries[0]["name"] == "custody.received"
    assert all(entry["utc"].endswith("Z") for entry in entries)
    assert forensic("log", "--case", "C2", "-w", root, "--json").json == []
    listed = forensic("custody", "list", "-w", root, "--json").json
    assert [(one["exhibit"], one["standing"]) for one in listed] == [("X1", "acquired")]


def test_the_log_of_an_exhibit_has_what_names_no_exhibit(
    workspace: Workspace, receiver: Workspace, exhibit: Exhibit, tmp_path: Path
) -> None:
    statement, copy = _handed(workspace, tmp_path)
    acknowledge(receiver, statement, copy, tmp_path / "ack.json", Circumstances(), Silent())
    acquire(receiver, copy, case="R1", exhibit_id="Y1", note=None, progress=Silent())
    events = [entry["name"] for entry in history(receiver, exhibit="Y1")]
    assert events == ["custody.acknowledged", "acquisition.started", "exhibit.acquired"]


_ODD = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.none(), max_size=2) | st.dictionaries(
    st.sampled_from(("person", "organisation")), st.none() | st.integers() | st.text(max_size=4)
)  # fmt: skip
_ACTS = ("received", "accessed", "exported", "transferred", "acknowledged", "returned", "destroyed", "failed", "other")
_SAID = ("role", "accepted", "sender", "from", "to", "by", "reason", "act", "kept_for", "signer", "on_paper", "stated")


@given(act=st.sampled_from(_ACTS), data=st.dictionaries(st.sampled_from(_SAID), _ODD))
def test_any_data_of_an_act_is_a_line_of_text(act: str, data: dict[str, Any]) -> None:
    assert isinstance(summary(f"custody.{act}", data), str)
    assert isinstance(people(data), str)


def test_exit_codes_of_the_command(tmp_path: Path, real_clip: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for root, name in ((first, "Ada"), (second, "Bob")):
        assert forensic("init", "-w", root, "--examiner", name).code == 0
    assert forensic("acquire", real_clip, "--case", "C1", "--exhibit", "X1", "-w", first).code == 0
    statement, answer = tmp_path / "t.json", tmp_path / "ack.json"
    done = forensic("custody", "transfer", "X1", "--to", "Bob", "--reason", "r", "--out", statement, "-w", first)
    assert (done.code, done.last_line) == (0, str(statement))
    wrong = tmp_path / "wrong.mp4"
    wrong.write_bytes(b"something else")
    refused = forensic("custody", "acknowledge", statement, wrong, "--out", answer, "-w", second)
    assert refused.code == 1
    assert forensic("custody", "acknowledge", "--import", answer, "-w", first).code == 1
    assert forensic("custody", "acknowledge", "-w", first).code == 2
    assert forensic("custody", "destroy", "X1", "--reason", "r", "--confirm", "000000000000", "-w", first).code == 2


def test_an_exhibit_that_is_not_there_is_told_as_such(workspace: Workspace, tmp_path: Path) -> None:
    for act in (
        lambda: export(workspace, "X1", tmp_path / "x.mp4", WHY, Silent()),
        lambda: transfer(workspace, "X1", tmp_path / "t.json", TO),
        lambda: destroy(workspace, "X1", "0" * 12, WHY),
    ):
        with pytest.raises(UsageError) as caught:
            act()
        assert caught.value.code == "exhibit.unknown"
    assert find_exhibit(workspace, "X1") is None


def test_what_a_failed_export_wrote_is_removed(
    workspace: Workspace, exhibit: Exhibit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copyout, "write_out", full)
    with pytest.raises(OSError, match="No space"):
        export(workspace, "X1", tmp_path / "copy.mp4", WHY, Silent())
    assert not list(tmp_path.glob("copy.mp4*"))
    assert _last(workspace)[0] == "custody.failed"
