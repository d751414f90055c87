"""Issuing checkpoints, exchanging them with a witness, and what verification makes of them."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.case.anchors import issue_checkpoint
from forensic.case.verification import loghistory
from forensic.case.verification.anchors import verify_checkpoint
from forensic.case.verification.checks import Verdict
from forensic.case.verification.loghistory import LogHistory
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.cli.main import run
from forensic.errors import ForensicError
from forensic.hashes import merkle_root, sha256_bytes
from forensic.ledger.reading import audited_entries
from forensic.signing.checkpoint import InclusionProof, parse_inclusion_proof, parse_signed_checkpoint
from tests.case.conftest import Case, Done, forensic
from tests.laboratories import Laboratory
from tests.tsa import LocalTsa
from tests.unpacking import unpack

FROZEN = Path(__file__).parents[1] / "compat" / "0.1.0" / "workspace.tar.xz"
DOC = Path(__file__).parents[2] / "docs" / "formats" / "checkpoint.md"


@pytest.fixture
def lab(tmp_path: Path) -> Laboratory:
    return Laboratory.found(tmp_path / "lab").work("one", "two")


@pytest.fixture(scope="module")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Laboratory, Laboratory]:
    """A ledger with two cosigned checkpoints, and its witness. Do not change them: fork them."""
    root = tmp_path_factory.mktemp("anchored")
    lab, witness = Laboratory.found(root / "lab").work("one"), Laboratory.found(root / "witness")
    lab.witnessed_by(witness).work("two").witnessed_by(witness)
    return lab, witness


def refused(code: str):  # type: ignore[no-untyped-def]
    return pytest.raises(ForensicError, match=rf"^\[{code}\]")


class TestIssuing:
    def test_anchoring_does_not_chase_its_own_tail(self, lab: Laboratory) -> None:
        first = lab.checkpoint()
        assert first.new
        assert [lab.checkpoint().size for _ in range(3)] == [first.size] * 3
        assert len(lab.entries("checkpoint.issued")) == 1
        second = lab.work("three").checkpoint()
        assert (second.new, lab.checkpoint().new) == (True, False)
        assert second.size == first.size + 2  # its own entry, and the work

    def test_it_is_on_record_before_it_is_a_file(self, lab: Laboratory) -> None:
        issued = lab.checkpoint()
        (entry,) = lab.entries("checkpoint.issued")
        assert entry.data["size"] == issued.size < entry.seq
        assert entry.data["root"] == issued.root.hex()
        assert entry.data["sha256"] == sha256_bytes(issued.folder.checkpoint.read_bytes())
        assert issued.folder.checkpoint.read_bytes() == issued.note and not issued.folder.cosigned.exists()

    def test_files_lost_in_a_crash_are_made_again(
        self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path
    ) -> None:
        lab = anchored[0].fork(tmp_path / "lab")
        files = {path: path.read_bytes() for path in (lab.root / "anchors").rglob("*") if path.is_file()}
        assert len(files) == 4
        shutil.rmtree(lab.root / "anchors")
        assert not lab.checkpoint().new
        assert {path: path.read_bytes() for path in (lab.root / "anchors").rglob("*") if path.is_file()} == files

    def test_keys_are_private_and_distinct(self, lab: Laboratory) -> None:
        log, witness = lab.log_key(), lab.witness_key()
        assert log.split("+")[2] != witness.split("+")[2]
        for name in ("key.pem", "witness.pem"):
            assert stat.S_IMODE((lab.root / "log" / name).stat().st_mode) == 0o600
        introduced = [(entry.data["purpose"], entry.data["vkey"]) for entry in lab.entries("log.key-introduced")]
        assert introduced == [("log", log), ("witness", witness)]

    def test_keys_have_the_identity_s_passphrase(self, tmp_path: Path) -> None:
        lab = Laboratory.found(tmp_path / "lab", passphrase="Zwölf Boxkämpfer")
        with lab.open("Zwölf Boxkämpfer") as workspace:
            first = issue_checkpoint(workspace)
        assert b"ENCRYPTED" in (lab.root / "log" / "key.pem").read_bytes()
        with lab.open("Zwölf Boxkämpfer") as workspace:
            assert issue_checkpoint(workspace).note == first.note
            workspace.ledger.append("remark.made", {})
            workspace.passphrase = lambda: "another"
            with refused("identity.passphrase"):
                issue_checkpoint(workspace)

    def test_a_lost_key_is_replaced_on_purpose_only(self, lab: Laboratory) -> None:
        old = lab.log_key()
        (lab.root / "log" / "key.pem").unlink()
        with refused("log.key-missing"):
            lab.checkpoint()
        with lab.open() as workspace:
            assert issue_checkpoint(workspace, new_key=True).new
        assert lab.entries("log.key-introduced")[-1].data["replaces"] == old
        assert lab.log_key() != old
        assert lab.failed() == set()
        for named in ((lab.log_key(),), (lab.log_key(), old)):  # older checkpoints: by the key in force then
            assert lab.failed(log_keys=named) == set()
        assert lab.failed(log_keys=(old,)) == {"N7"}

    def test_a_foreign_key_file_is_refused(self, lab: Laboratory, tmp_path: Path) -> None:
        lab.log_key()
        other = Laboratory.found(tmp_path / "other")
        other.log_key()
        shutil.copyfile(other.root / "log" / "key.pem", lab.root / "log" / "key.pem")
        with refused("log.key-unknown"):
            lab.work("three").checkpoint()

    def test_what_contradicts_the_anchors_is_not_signed(self, lab: Laboratory, tmp_path: Path) -> None:
        lab.log_key()
        fork = lab.fork(tmp_path / "fork").work("other", "history")
        there = lab.work("three").checkpoint().folder.root
        shutil.copytree(there, fork.root / "anchors" / there.name)
        with refused("log.inconsistent"):
            fork.checkpoint()
        assert fork.entries("checkpoint.refused")[-1].data["code"] == "log.inconsistent"
        (lab.root / "anchors" / there.name / "checkpoint").write_bytes(b"damaged\n")
        with refused("log.inconsistent"):
            lab.checkpoint()

    def test_commands_at_the_same_moment_issue_one(self, lab: Laboratory) -> None:
        lab.log_key()
        lab.work("three")
        with ThreadPoolExecutor(4) as pool:
            issued = list(pool.map(lambda _: lab.checkpoint(), range(4)))
        assert sum(one.new for one in issued) == 1
        assert len({one.note for one in issued}) == 1
        assert lab.failed() == set()


class TestExchange:
    def test_request_starts_from_what_this_witness_saw_last(
        self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path
    ) -> None:
        lab, witness = anchored[0].fork(tmp_path / "lab"), anchored[1]
        sizes = [entry.data["size"] for entry in lab.entries("checkpoint.cosigned")]
        assert lab.request().startswith(b"old %d\n" % sizes[-1])
        assert lab.request(witness=witness.witness_key()).startswith(b"old %d\n" % sizes[-1])
        assert lab.request(witness=lab.witness_key()).startswith(b"old 0\n")
        assert lab.request(old=sizes[0]).startswith(b"old %d\n" % sizes[0])
        with refused("witness.old-size"):
            lab.request(old=10_000)

    def test_answer_is_taken_once_and_as_line_or_note(
        self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path
    ) -> None:
        lab, vkey = anchored[0].fork(tmp_path / "lab"), anchored[1].witness_key()
        before = lab.entries("checkpoint.cosigned")
        note = lab.checkpoint().folder.cosigned.read_bytes()
        for answer in (note, note.split(b"\n\n")[1]):
            lab.take(answer, vkey)
            lab.take(answer, None)  # the ledger knows this witness by now
        assert lab.entries("checkpoint.cosigned") == before
        assert lab.failed() == set()

    def test_wrong_answers_are_refused_on_record(
        self, anchored: tuple[Laboratory, Laboratory], lab: Laboratory
    ) -> None:
        vkey = anchored[1].witness_key()
        elsewhere = anchored[0].checkpoint().folder.cosigned.read_bytes()
        lab.checkpoint()
        for answer, code in (
            (elsewhere, "cosignature.invalid"),
            (elsewhere.split(b"\n\n")[1], "cosignature.invalid"),
            (lab.checkpoint().note, "cosignature.unknown-witness"),
            (b"nothing", "note.malformed"),
        ):
            with refused(code):
                lab.take(answer, vkey)
            assert lab.entries("checkpoint.cosignature-refused")[-1].data["code"] == code
        with refused("witness.key-type"):
            lab.take(elsewhere, lab.log_key())
        assert lab.entries("checkpoint.cosigned") == []

    def test_first_contact_needs_the_key_and_later_ones_that_key(self, lab: Laboratory, tmp_path: Path) -> None:
        witness, key = Laboratory.found(tmp_path / "witness"), lab.log_key()
        with refused("witness.log-key-needed"):
            witness.cosign(lab.request())
        with refused("witness.key-type"):
            witness.cosign(lab.request(), lab.witness_key())
        witness.cosign(lab.request(), key)
        size = lab.checkpoint().size
        witness.cosign(lab.request(old=size))
        assert [entry.data["vkey"] for entry in witness.entries("witness.log-accepted")] == [key]
        with lab.open() as workspace:
            issue_checkpoint(workspace, new_key=True)
        with refused("checkpoint.unsigned"):
            witness.cosign(lab.request(old=size))
        with refused("witness.log-key-differs"):
            witness.cosign(lab.request(old=size), lab.log_key())
        codes = [entry.data["code"] for entry in witness.entries("witness.refused")]
        assert codes == [
            "witness.log-key-needed", "witness.key-type", "checkpoint.unsigned", "witness.log-key-differs",
        ]  # fmt: skip

    @settings(max_examples=25)
    @given(st.binary(max_size=60))
    def test_garbage_sent_to_the_witness_is_a_recorded_refusal(
        self, anchored: tuple[Laboratory, Laboratory], data: bytes
    ) -> None:
        with pytest.raises(ForensicError):
            anchored[1].cosign(data)
        assert anchored[1].entries("witness.refused")[-1].data["request_sha256"] == sha256_bytes(data)


class TestVerification:
    def test_a_witnessed_workspace_reaches_the_rung(self, anchored: tuple[Laboratory, Laboratory]) -> None:
        lab, witness = anchored
        verification = lab.verify(witnesses=(witness.witness_key(),), log_keys=(lab.log_key(),))
        assert {check.number for check in verification.checks} >= {"N1", "N2", "N3", "N4", "N5", "N7"}
        assert witness.witness_key() in verification.reached[Verdict.WITNESSED]
        assert verification.verdict is Verdict.SIGNED  # a rung is missing below: there is no timestamp

    def test_nothing_anchored_is_said(self, lab: Laboratory) -> None:
        verification = lab.verify()
        assert verification.verdict is Verdict.SIGNED
        assert any("no checkpoint was ever issued" in line for line in verification.not_checked)

    def test_a_deleted_anchor_lowers_but_is_named(
        self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path
    ) -> None:
        lab = anchored[0].fork(tmp_path / "lab")
        shutil.rmtree(lab.root / "anchors")
        verification = lab.verify(witnesses=(anchored[1].witness_key(),))
        assert verification.verdict is Verdict.SIGNED
        assert Verdict.WITNESSED not in verification.reached
        assert sum("its file is not there" in line for line in verification.not_checked) == 2

    @pytest.mark.parametrize(
        ("bend", "numbers"),
        [
            (lambda folder: (folder / "extra").write_bytes(b""), {"N1"}),
            (lambda folder: (folder.parent / "notes.txt").write_bytes(b""), {"N1"}),
            (lambda folder: folder.rename(folder.parent / "0000000001"), {"N1"}),
            (lambda folder: shutil.copytree(folder, folder.parent / "12"), {"N1"}),
            (lambda folder: (folder / "checkpoint").write_bytes(b""), {"N1"}),
            (lambda folder: (folder / "checkpoint").unlink(), {"N1"}),
            (lambda folder: (folder / "checkpoint").write_bytes((folder / "cosigned").read_bytes()), {"N4"}),
        ],
    )
    def test_strange_anchors_fail(  # type: ignore[no-untyped-def]
        self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path, bend, numbers: set[str]
    ) -> None:
        lab = anchored[0].fork(tmp_path / "lab")
        bend(sorted((lab.root / "anchors").iterdir())[0])
        assert lab.failed() == numbers

    def test_links_among_the_anchors_are_not_followed(
        self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path
    ) -> None:
        lab = anchored[0].fork(tmp_path / "lab")
        shutil.move(lab.root / "anchors", tmp_path / "elsewhere")
        (lab.root / "anchors").symlink_to(tmp_path / "elsewhere")
        assert lab.failed() == {"N1"}
        (lab.root / "anchors").unlink()
        shutil.copytree(tmp_path / "elsewhere", lab.root / "anchors")
        checkpoint = sorted((lab.root / "anchors").iterdir())[0] / "checkpoint"
        checkpoint.rename(tmp_path / "moved")
        checkpoint.symlink_to(tmp_path / "moved")
        assert lab.failed() == {"N1"}

    def test_every_byte_of_an_anchor_counts(self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path) -> None:
        lab = anchored[0].fork(tmp_path / "lab")
        for name in ("checkpoint", "cosigned"):
            path = sorted((lab.root / "anchors").iterdir())[0] / name
            data = path.read_bytes()
            for place in range(0, len(data), 23):
                path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
                assert lab.failed(witnesses=(anchored[1].witness_key(),)), (name, place)
            path.write_bytes(data)
        assert lab.failed() == set()

    def test_a_checkpoint_alone(self, anchored: tuple[Laboratory, Laboratory]) -> None:
        lab, witness = anchored
        path = lab.checkpoint().folder.cosigned
        plain = verify_checkpoint(path, trust=Trust())
        assert plain.verdict is Verdict.INTEGRITY_ONLY
        named = verify_checkpoint(path, trust=Trust(log_keys=(lab.log_key(),), witnesses=(witness.witness_key(),)))
        assert named.verdict is Verdict.SIGNED
        assert Verdict.WITNESSED in named.reached
        foreign = verify_checkpoint(path, trust=Trust(log_keys=(witness.log_key(),)))
        assert foreign.verdict is Verdict.FAILED
        same = verify_checkpoint(path, trust=Trust(checkpoints=(lab.checkpoint().note,)))
        assert [check.number for check in same.checks] == ["N1", "N6"]
        with refused("verify.vkey"):
            verify_checkpoint(path, trust=Trust(witnesses=(lab.log_key(),)))

    def test_trust_that_met_nothing_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "proof.json").write_bytes(b"{}")
        verification = verify(tmp_path / "proof.json", trust=Trust(checkpoints=(b"x",)))
        assert any("nothing here was held against them" in line for line in verification.not_checked)

    def test_inclusion_proofs_of_every_entry(self, anchored: tuple[Laboratory, Laboratory]) -> None:
        with anchored[0].open() as workspace:
            issued = issue_checkpoint(workspace)
            signed = parse_signed_checkpoint(issued.note)
            for seq in range(1, issued.size + 1):
                path = tuple(workspace.ledger.inclusion_proof(seq, issued.size))
                proof = parse_inclusion_proof(InclusionProof(seq - 1, path, signed).to_bytes())
                assert proof.includes(workspace.ledger.entry(seq).canonical)


class TestOldLedgers:
    @pytest.mark.parametrize("signing", [0, 1, 2, 5])
    def test_roots_are_known_at_every_size(
        self, anchored: tuple[Laboratory, Laboratory], monkeypatch: pytest.MonkeyPatch, signing: int
    ) -> None:
        """Also in a ledger whose first entries, or all, are from before entries signed a tree."""
        entries = list(audited_entries(anchored[0].root / "ledger.sqlite"))
        first = len(entries) if signing == 5 else signing
        entries[:first] = [dataclasses.replace(entry, tree=None) for entry in entries[:first]]
        monkeypatch.setattr(loghistory, "audited_entries", lambda _: iter(entries))
        history = LogHistory.read(Path("ledger.sqlite"))
        leaves = [entry.canonical for entry in entries]
        assert [history.root(size) for size in range(1, len(leaves) + 1)] == [
            merkle_root(leaves[:size]) for size in range(1, len(leaves) + 1)
        ]
        assert history.root(0) is None is history.root(len(leaves) + 1)

    def test_a_checkpoint_kept_of_one_is_held_against_it(self, tmp_path: Path) -> None:
        """A workspace of release 0.1.0: a page written by hand, from the entries alone, counts."""
        with tarfile.open(FROZEN) as archive:
            unpack(archive, tmp_path)
        old = Laboratory(next(path.parent for path in tmp_path.rglob("ledger.sqlite")))
        entries = list(audited_entries(old.root / "ledger.sqlite"))
        for size in (2, len(entries)):
            root = merkle_root(entry.canonical for entry in entries[:size])
            page = f"forensic-ledger/{entries[0].data['workspace']}\n{size}\n{root.hex()}\n"
            assert old.failed(checkpoints=(page.encode(),)) == set()
            assert old.failed(checkpoints=(page.replace("\n2\n", "\n3\n").encode(),)) == (
                {"N6"} if size == 2 else set()
            )


class TestByHand:
    def run(self, folder: Path, **values: str) -> subprocess.CompletedProcess[str]:
        script = "set -euo pipefail\n" + "\n".join(re.findall(r"```sh\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL))
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **values}
        return subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)

    def test_openssl_verifies_log_and_witness(self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path) -> None:
        lab, witness = anchored
        folder = tmp_path / "anchor"
        shutil.copytree(lab.checkpoint().folder.root, folder)
        done = self.run(folder, NOTE="cosigned", VKEY=lab.log_key(), WITNESS=witness.witness_key())
        assert done.returncode == 0, done.stderr
        computed, named, first, moment, second = done.stdout.splitlines()
        assert computed == named
        assert first == second == "Signature Verified Successfully"
        assert "20" in moment

    def test_openssl_refuses_a_changed_one(self, anchored: tuple[Laboratory, Laboratory], tmp_path: Path) -> None:
        lab, _ = anchored
        folder = tmp_path / "anchor"
        shutil.copytree(lab.checkpoint().folder.root, folder)
        note = (folder / "checkpoint").read_text("utf-8").split("\n")
        note[1] = str(int(note[1]) + 1)
        (folder / "checkpoint").write_text("\n".join(note), "utf-8")
        done = self.run(folder, VKEY=lab.log_key())
        assert done.returncode != 0
        assert "Successfully" not in done.stdout


class TestCommands:
    @pytest.fixture
    def call(self, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
        """The command, in this process."""

        def command(*arguments: object) -> Done:
            capsys.readouterr()
            code = run([str(argument) for argument in arguments])
            return Done(code, *capsys.readouterr())

        return command

    def test_the_whole_exchange(self, call: Callable[..., Done], tmp_path: Path) -> None:
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        for root in (ours, theirs):
            assert call("init", "-w", root, "--examiner", "Ada", "--lab", root.name).code == 0
        shown = call("anchor", "-w", ours, "--export", tmp_path / "request", "--json")
        assert shown.code == 0, shown.err
        assert "No timestamp authority is configured" in shown.err
        log_key = shown.json["log_keys"][-1]
        assert shown.json["checkpoint"]["new"] is True
        vkey = call("witness", "--key", "-w", theirs).last_line
        unknown = call("witness", tmp_path / "request", "-w", theirs)
        assert (unknown.code, unknown.out) == (2, "")
        answered = call(
            "witness", tmp_path / "request", "-w", theirs, "--log-key", log_key, "--out", tmp_path / "answer"
        )
        assert (answered.code, answered.last_line) == (0, str(tmp_path / "answer"))
        untold = call("anchor", "-w", ours, "--import", tmp_path / "answer")
        assert untold.code == 4
        taken = call("anchor", "-w", ours, "--import", tmp_path / "answer", "--witness-key", vkey)
        assert taken.code == 0, taken.err
        assert vkey in taken.out
        checked = forensic("verify", ours, "--witness", vkey, "--log-key", log_key, "--json")
        assert checked.code == 0, checked.out
        assert "WITNESSED" in checked.json["reached"]
        again = call("anchor", "-w", ours, "--offline", "--export", tmp_path / "request")
        assert (again.code, "output.exists" in again.err) == (2, True)
        assert call("anchor", "-w", ours, "--offline", "--old", "0", "--export", tmp_path / "stale").code == 0
        conflict = call("witness", tmp_path / "stale", "-w", theirs, "--json")
        assert (conflict.code, conflict.json["error"]["code"]) == (1, "witness.conflict")
        told = call("log", "-w", theirs)
        assert vkey in told.out
        assert "knows forensic-ledger/" in told.out

    def test_timestamps_are_fetched_and_the_ladder_is_climbed(
        self, call: Callable[..., Done], lab: Laboratory, tmp_path: Path
    ) -> None:
        witness = Laboratory.found(tmp_path / "witness")
        with LocalTsa(tmp_path / "tsa") as tsa:
            fetched = call("anchor", "-w", lab.root, "--tsa", tsa.url, "--json")
            assert fetched.code == 0, fetched.err
            assert fetched.json["checkpoints"][0]["timestamp"] is True
            assert len(fetched.json["timestamps"]) == 1
            again = call("anchor", "-w", lab.root, "--tsa", tsa.url, "--json")  # a token is no reason for a checkpoint
            assert (again.json["checkpoint"]["new"], again.json["timestamps"]) == (False, [])
        lab.witnessed_by(witness)
        assert len(lab.entries("checkpoint.issued")) == 1
        trust = ("--tsa-root", tsa.root_pem, "--witness", witness.witness_key())
        assert call("verify", lab.root, *trust, "--json").json["verdict"] == "WITNESSED"
        for some, verdict in ((trust[:2], "TIMESTAMPED"), (trust[2:], "SIGNED"), ((), "SIGNED")):
            assert call("verify", lab.root, *some, "--json").json["verdict"] == verdict

    def test_a_printed_page_typed_in_again_protects(
        self, call: Callable[..., Done], lab: Laboratory, tmp_path: Path
    ) -> None:
        page = call("anchor", "-w", lab.root, "--offline", "--print").out
        lines = [line.strip() for line in page.splitlines()]
        at = next(place for place, line in enumerate(lines) if line.startswith("forensic-ledger/"))
        typed = "\n".join(lines[at : at + 4])
        (tmp_path / "typed.txt").write_text(typed)
        good = call("verify", lab.root, "--checkpoint", tmp_path / "typed.txt")
        assert (good.code, "N6" in good.out) == (0, True)
        (tmp_path / "typed.txt").write_text(typed[:-1] + ("0" if typed[-1] != "0" else "1"))
        bad = call("verify", lab.root, "--checkpoint", tmp_path / "typed.txt")
        assert (bad.code, "FAIL N6" in bad.out) == (1, True)

    def test_a_checkpoint_file_is_something_to_verify(
        self, call: Callable[..., Done], anchored: tuple[Laboratory, Laboratory]
    ) -> None:
        path = anchored[0].checkpoint().folder.checkpoint
        plain = call("verify", path, "--json")
        assert (plain.code, plain.json["verdict"], plain.json["kind"]) == (0, "INTEGRITY ONLY", "checkpoint")
        bad = call("verify", path, "--witness", "nonsense")
        assert (bad.code, "verify.vkey" in bad.err) == (2, True)

    @pytest.mark.parametrize(
        "arguments",
        [
            ("anchor", "--for", "x"), ("anchor", "--witness-key", "x"), ("anchor", "--print", "--json"),
            ("anchor", "--export", "x", "--for", "nonsense"), ("witness",),
        ],
    )  # fmt: skip
    def test_options_that_make_no_sense(
        self,
        call: Callable[..., Done],
        lab: Laboratory,
        arguments: tuple[str, ...],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert call(*arguments, "-w", lab.root).code == 2
        assert not (tmp_path / "x").exists()


class TestRuns:
    def test_a_run_is_witnessed_if_its_end_is(self, attacked: Case, tmp_path: Path) -> None:
        lab, witness = Laboratory(attacked.root), Laboratory.found(tmp_path / "witness")
        lab.witnessed_by(witness)
        vkey = witness.witness_key()
        for result in forensic("verify", attacked.run, attacked.root, "--witness", vkey, "--json").json:
            assert vkey in result["reached"]["WITNESSED"]
        # A report issued after the checkpoint is younger than what was witnessed.
        assert forensic("report", attacked.run_id, "-w", attacked.root).code == 0
        for result in forensic("verify", attacked.run, attacked.root, "--witness", vkey, "--json").json:
            assert result["verdict"] == "SIGNED"
            assert "WITNESSED" not in result["reached"]
            assert any("witnessed only up to entry" in line for line in result["not_checked"])
