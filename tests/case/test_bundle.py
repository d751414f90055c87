"""A bundle is complete, comes out the same twice, and can be checked by people who have nothing but it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import bagit
import pytest

from forensic.case.acquire import acquire
from forensic.case.bundle import issuing
from forensic.case.bundle.instructions import instructions
from forensic.case.bundle.issuing import BundleRequest
from forensic.case.bundle.selecting import scope_for
from forensic.case.enhance import enhance
from forensic.case.exhibits import find_exhibit
from forensic.case.plan import EnhanceRequest
from forensic.case.progress import Silent
from forensic.case.reissue import reissue
from forensic.case.timestamping import fetch_pending
from forensic.case.verification.bundle_links import ISSUED
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.description import Disclosed
from forensic.case.verification.checks import Verdict
from forensic.case.verification.custody import Custody
from forensic.case.verification.trust import Trust
from forensic.case.verify import verify
from forensic.case.workspace import create_workspace, open_workspace
from forensic.errors import UsageError
from forensic.ledger.reading import audited_entries
from tests.case.bundling import (
    CASE,
    EXHIBIT,
    Disclosure,
    again,
    disclose,
    entries_of,
    failures,
    keep_entries,
    predicate_of,
    prepare,
    reseal,
)
from tests.case.conftest import Case, flip, forensic
from tests.laboratories import Laboratory
from tests.ledger.forging import write_chain
from tests.tsa import LocalTsa


@pytest.fixture(scope="session")
def casework(tmp_path_factory: pytest.TempPathFactory, real_clip: Path, footage: Path) -> Case:
    return prepare(tmp_path_factory.mktemp("disclosing") / "ws", real_clip, footage / "carphone_distorted.mp4")


@pytest.fixture(scope="session")
def disclosure(casework: Case, tmp_path_factory: pytest.TempPathFactory) -> Disclosure:
    return disclose(casework, casework.run_id, tmp_path_factory.mktemp("disclosed"))


@pytest.fixture
def workspace(casework: Case, tmp_path: Path) -> Case:
    """A private copy of the workspace."""
    shutil.copytree(casework.root, tmp_path / "ws")
    return Case(tmp_path / "ws", tmp_path / "ws" / "runs" / casework.run_id)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folder_and_archive_are_signed_without_the_workspace(disclosure: Disclosure, tmp_path: Path) -> None:
    for bundle in (disclosure.folder, disclosure.archive):
        moved = tmp_path / bundle.name
        shutil.copytree(bundle, moved) if bundle.is_dir() else shutil.copy(bundle, moved)
        verification = verify(moved)
        assert verification.verdict is Verdict.SIGNED, failures(moved)
        numbers = {check.number for check in verification.checks}
        assert {f"B{number}" for number in range(1, 21)} | {"A7", "C2", "C3", "S8", "R1"} <= numbers


def test_contents(disclosure: Disclosure) -> None:
    files, predicate = set(files_of(disclosure.folder)), predicate_of(disclosure.folder)
    run, sha256 = f"data/runs/{disclosure.case.run_id}/", predicate["exhibits"][0]["sha256"]
    assert {f"{run}report.pdf", f"{run}output.mkv", f"{run}attestation.json", f"{run}recipe.toml"} <= files
    assert {f"data/exhibits/{sha256}/{name}" for name in ("original.mp4", "frames.jsonl", "acquisition.json")} <= files
    assert predicate["exhibits"][0]["id"] == EXHIBIT and predicate["case"] == CASE
    assert [run["end"] for run in predicate["other_runs"]] == ["run.refused"]
    entries = entries_of(disclosure.folder)
    assert entries[0]["event"] == "workspace.created" and entries[-1]["event"] == "bundle.issued"
    assert not any(entry["case"] == "another case" for entry in entries)
    assert {"run.refused", "run.started", "policy.decided", "exhibit.acquired"} <= {entry["event"] for entry in entries}
    assert {f"data/ledger/proofs/{entry['seq']:010d}.tlog-proof" for entry in entries} == {
        name for name in files if name.endswith(".tlog-proof")
    }


def test_the_same_state_gives_the_same_bytes(disclosure: Disclosure, tmp_path: Path) -> None:
    case, seq = disclosure.case, disclosure.seq
    done = forensic("bundle", "--again", seq, "-w", case.root, "--out", tmp_path / "b.zip")
    assert done.code == 0 and done.last_line == str(tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == disclosure.archive.read_bytes()
    again(case, seq, tmp_path / "b", archive=False)
    assert files_of(tmp_path / "b") == files_of(disclosure.folder)
    kept = case.root / "disclosures" / f"{seq:010d}.bundle.json"
    kept.unlink()  # without it only the signature is another: nothing else depends on chance or time
    again(case, seq, tmp_path / "c", archive=False)
    differ = {name for name, data in files_of(tmp_path / "c").items() if data != files_of(disclosure.folder)[name]}
    assert differ <= {names.STATEMENT, names.TAG_MANIFEST}
    kept.write_bytes((disclosure.folder / names.STATEMENT).read_bytes())


def test_archive_unpacks_to_the_folder_with_any_program(disclosure: Disclosure, tmp_path: Path) -> None:
    done = subprocess.run(["unzip", "-q", disclosure.archive, "-d", tmp_path], capture_output=True, check=False)
    assert done.returncode == 0
    (unpacked,) = tmp_path.iterdir()
    assert unpacked.name == predicate_of(disclosure.folder)["name"]
    assert files_of(unpacked) == files_of(disclosure.folder)
    assert verify(unpacked).verdict is Verdict.SIGNED


def test_bagit_agrees(disclosure: Disclosure, tmp_path: Path) -> None:
    bag = bagit.Bag(str(disclosure.folder))
    bag.validate()
    assert bag.version_info == (1, 0) and set(bag.algorithms) == {"sha256"}
    command = [sys.executable, bagit.__file__, "--validate", disclosure.folder]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    spoilt = disclosure.copy(tmp_path / "spoilt")
    (spoilt / names.ENTRIES).write_bytes(b"")
    assert subprocess.run([*command[:-1], spoilt], capture_output=True, check=False).returncode == 1


def blocks(folder: Path) -> dict[str, tuple[str, bool]]:
    """The commands of ``VERIFY.md`` by the title of their step, and whether they are to be given by hand."""
    text = (folder / names.VERIFY).read_text("utf-8")
    found = re.findall(r"^### \d+\. (.*?)\n(.*?)^```sh( by-hand)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return {title: (commands, bool(by_hand)) for title, _, by_hand, commands in found}


def run_blocks(folder: Path, fill: dict[str, str] | None = None) -> str:
    """Give all commands in one shell, in the bundle's folder, with the words in capitals replaced."""
    script = "set -e -o pipefail\n"
    for commands, by_hand in blocks(folder).values():
        if by_hand and fill is None:
            continue
        for word, value in (fill or {}).items():
            commands = commands.replace(word, value)
        script += commands
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_in_verify_md_agree(disclosure: Disclosure, tmp_path: Path) -> None:
    folder = disclosure.copy(tmp_path / "bundle")
    before = files_of(folder)
    said = run_blocks(folder)
    for words in (
        "files: same", "list: same", "none left out", "Signature Verified Successfully", "Signature is Valid",
        "Total document signed", "frames: same", "run.refused", "original.mp4: OK",
    ):  # fmt: skip
        assert words in said, words
    assert said.count("Verified OK") == 2
    assert files_of(folder) == before, "checking leaves no trace in the bundle"
    (folder / names.ENTRIES).write_bytes((folder / names.ENTRIES).read_bytes().replace(b"run.refused", b"run.refuzed"))
    with pytest.raises(AssertionError):
        run_blocks(folder)


def test_verifying_needs_no_heavy_library_and_no_network(disclosure: Disclosure) -> None:
    code = (
        "import sys, socket\n"
        "def refuse(*_, **__): raise SystemExit('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from pathlib import Path; from forensic.case.verify import verify\n"
        "v = verify(Path(sys.argv[1])); print(v.verdict.label)\n"
        "print(sorted({'torch', 'cv2', 'av', 'sqlalchemy', 'cedarpy', 'bagit'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, disclosure.archive], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["SIGNED", "[]"]


def test_archive_is_unpacked_privately_and_nothing_stays(disclosure: Disclosure, tmp_path: Path) -> None:
    done = forensic("verify", disclosure.archive, env={"TMPDIR": str(tmp_path)})
    assert done.code == 0, done.out
    assert list(tmp_path.iterdir()) == []


def test_hashes_only(casework: Case, tmp_path: Path) -> None:
    bundle = disclose(casework, casework.run_id, tmp_path, "hash-only")
    assert not list(bundle.folder.glob("data/exhibits/*/original*"))
    verification = verify(bundle.archive)
    assert verification.verdict is Verdict.SIGNED, failures(bundle.archive)
    assert any("hash only" in line for line in verification.not_checked)
    assert "Originals" in blocks(bundle.folder) and blocks(bundle.folder)["Originals"][1]


def test_a_case_brings_all_exhibits_and_runs_and_names_what_did_not_finish(workspace: Case, tmp_path: Path) -> None:
    with open_workspace(workspace.root, lambda: "") as opened:
        exhibit = find_exhibit(opened, EXHIBIT)
        assert exhibit is not None
        enhance(opened, exhibit, EnhanceRequest(frames=(0, 1), recipe="plain-lanczos"), Silent())
    bundle = disclose(workspace, CASE, tmp_path)
    assert verify(bundle.archive).verdict is Verdict.SIGNED, failures(bundle.archive)
    predicate = predicate_of(bundle.folder)
    assert predicate["scope"] == "case" and predicate["run"] is None and len(predicate["runs"]) == 2
    assert [run["end"] for run in predicate["other_runs"]] == ["run.refused"]
    assert predicate["name"].startswith("bundle-case-2026_17_Harbour-")
    assert not any(entry["case"] == "another case" for entry in entries_of(bundle.folder))


def test_superseded_reports_go_along(workspace: Case, tmp_path: Path) -> None:
    with open_workspace(workspace.root, lambda: "") as opened:
        reissue(opened, workspace.run_id)
    bundle = disclose(workspace, workspace.run_id, tmp_path)
    assert (bundle.folder / "data" / "runs" / workspace.run_id / "report-superseded-1.pdf").is_file()
    assert verify(bundle.folder).verdict is Verdict.SIGNED, failures(bundle.folder)


def test_witness_and_authority_raise_the_verdict_only_if_they_are_named(workspace: Case, tmp_path: Path) -> None:
    lab, witness = Laboratory(workspace.root), Laboratory.found(tmp_path / "witness")
    first = disclose(workspace, workspace.run_id, tmp_path)
    with LocalTsa(tmp_path / "tsa") as tsa, lab.open() as opened:
        lab.witnessed_by(witness)
        assert all(not fetched.code for fetched in fetch_pending(opened, tsa.url))
    bundle = again(workspace, first.seq, tmp_path / "anchored", archive=False)
    assert {names.COSIGNED, names.CHECKPOINT_TIMESTAMP} <= set(files_of(bundle))
    assert (
        list(bundle.glob("data/timestamps/*.tsr")) and len(list(bundle.glob("data/ledger/anchors/*/consistency"))) >= 2
    )
    plain = verify(bundle)
    assert plain.verdict is Verdict.SIGNED, failures(bundle)
    assert {"N5", "T1", "T2"} <= {check.number for check in plain.checks}
    assert any(witness.witness_key() in line and "--witness" in line for line in plain.not_checked)
    assert any("--tsa-root" in line for line in plain.not_checked)
    trust = Trust(tsa_roots=(tsa.root_pem.read_bytes(),), witnesses=(witness.witness_key(),), log_keys=(lab.log_key(),))
    verification = verify(bundle, trust=trust)
    assert verification.verdict is Verdict.WITNESSED, verification.checks
    assert set(verification.reached) == {Verdict.TIMESTAMPED, Verdict.WITNESSED}
    kept = (next(iter(sorted(bundle.glob("data/ledger/anchors/*/checkpoint")))).read_bytes(),)
    assert any(check.number == "N6" and check.passed for check in verify(bundle, trust=Trust(checkpoints=kept)).checks)
    stranger = Laboratory.found(tmp_path / "stranger").witness_key()
    assert verify(bundle, trust=Trust(witnesses=(stranger,))).verdict is Verdict.SIGNED
    assert "N7" in failures(bundle, Trust(log_keys=(Laboratory(tmp_path / "stranger").log_key(),)))
    said = run_blocks(bundle, {"TSA-ROOT.pem": str(tsa.root_pem), "WITNESS-VKEY": witness.witness_key()})
    assert said.count("Verification: OK") == 2 and said.count("Signature Verified Successfully") == 2
    for name in (names.COSIGNED, names.CHECKPOINT_TIMESTAMP, next(bundle.glob("data/timestamps/*.tsr"))):
        spoilt = tmp_path / "spoilt"
        shutil.copytree(bundle, spoilt)
        flip(spoilt / (name if isinstance(name, str) else name.relative_to(bundle)), 0.9)
        reseal(spoilt, workspace.root)
        assert set(failures(spoilt)) & {"N5", "T1", "T2", "B12"}, name
        shutil.rmtree(spoilt)


def test_a_ledger_begun_with_the_first_version(tmp_path: Path, real_clip: Path) -> None:
    root = tmp_path / "ws"
    with create_workspace(root, examiner="A", lab="L", passphrase=None, origin="test") as opened:
        acquire(opened, real_clip, case="C", exhibit_id="E", note=None, progress=Silent())
        acquire(opened, real_clip, case="other", exhibit_id="F", note=None, progress=Silent())
        identity = opened.signer
        told = [
            {"event": entry.event, "data": entry.data, "case": entry.case, "exhibit": entry.exhibit, "run": entry.run}
            for entry in opened.ledger.entries()
        ]
    for file in root.glob("ledger.sqlite*"):
        file.unlink()
    # Interleaved, so that the other case lies between what is disclosed.
    write_chain(root / "ledger.sqlite", [told[0], told[3], told[1], told[4], told[2]], identity)
    with open_workspace(root, lambda: "") as opened:
        exhibit = find_exhibit(opened, "E")
        assert exhibit is not None
        run = enhance(opened, exhibit, EnhanceRequest(frames=(0, 1), recipe="plain-lanczos"), Silent())
    bundle = disclose(Case(root, run.folder), run.run_id, tmp_path)
    assert verify(bundle.archive).verdict is Verdict.SIGNED, failures(bundle.archive)
    entries = entries_of(bundle.folder)
    early = [entry["seq"] for entry in entries if entry["v"] == 1]
    assert early == [1, 2, 3, 4, 5] and entries[-1]["v"] == 2
    for seq in early[1:]:
        spoilt = bundle.copy(tmp_path / "spoilt")
        keep_entries(spoilt, lambda entry, seq=seq: entry["seq"] != seq)  # type: ignore[misc]
        reseal(spoilt, root)
        assert "B10" in failures(spoilt), seq
        shutil.rmtree(spoilt)


def test_everything_about_a_bundle_is_on_the_record(workspace: Case, tmp_path: Path) -> None:
    own = ("-w", workspace.root)
    before = len(forensic("log", *own, "--json").json)
    done = forensic("bundle", workspace.run_id, *own, "--json")
    assert done.code == 0, done.err
    assert Path(done.json["bundle"]).parent == workspace.root / "disclosures"
    (workspace.root / "disclosures" / "note.txt").write_text("x")
    with open_workspace(workspace.root, lambda: "") as opened:
        scope = scope_for(opened, workspace.run_id)
        for out in (
            workspace.root / "disclosures" / "note.txt", workspace.root / "runs" / "x.zip", tmp_path / "no" / "x.zip",
        ):  # fmt: skip
            with pytest.raises(UsageError):
                issuing.disclose(opened, scope, BundleRequest(out), Silent())
        for nobody in ("nobody", next(iter(opened.ledger.entries(event="run.refused"))).run):
            with pytest.raises(UsageError):
                scope_for(opened, str(nobody))
        with pytest.raises(UsageError):
            issuing.write_again(opened, 1, BundleRequest(), Silent())
    log = forensic("log", *own, "--json").json[before:]
    events = [entry["name"] for entry in log if entry["name"].startswith("bundle.")]
    assert events == ["bundle.issued", "bundle.written", "bundle.failed", "bundle.failed", "bundle.failed"]
    written = next(entry for entry in log if entry["name"] == "bundle.written")
    assert written["data"]["sha256"] == done.json["sha256"]
    assert (workspace.root / "disclosures" / "note.txt").read_text() == "x"
    assert all(entry["summary"] for entry in log if entry["name"].startswith("bundle."))
    assert verify(workspace.root).verdict is Verdict.SIGNED
    assert forensic("bundle", *own).code == 2


@pytest.mark.parametrize("victim", ["original", "run", "run-added"])
def test_changed_material_is_not_disclosed(workspace: Case, tmp_path: Path, victim: str) -> None:
    if victim == "original":
        for path in workspace.root.glob("exhibits/*/original*"):
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif victim == "run":
        (workspace.run / "frames.jsonl").write_bytes(b"{}\n")
    else:
        (workspace.run / "planted.txt").write_bytes(b"")
    done = forensic("bundle", workspace.run_id, "-w", workspace.root, "--out", tmp_path / "b.zip")
    assert done.code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]
    assert forensic("log", "-w", workspace.root, "--json").json[-1]["name"] == "bundle.failed"


def test_generated_material_is_labelled_everywhere(disclosure: Disclosure) -> None:
    custody, issued = Custody(), None
    for entry in audited_entries(disclosure.case.root / "ledger.sqlite"):
        if entry.event == "run.finished":
            entry.data["stage_class"] = "generative"
        if entry.exhibit == EXHIBIT:
            custody.take(entry)
        issued = entry if entry.event == ISSUED else issued
    assert issued is not None
    disclosed = Disclosed.of(issued, custody, frozenset())
    assert disclosed.name.startswith("AI-GENERATED-NOT-EVIDENCE-bundle-")
    assert disclosed.summary.startswith("AI-GENERATED DETAIL, NOT EVIDENCE.")
    assert disclosed.record()["label"] == "AI-GENERATED DETAIL — NOT EVIDENCE"
    text = instructions(disclosed, set(), 9).decode()
    assert text.index("AI-GENERATED DETAIL — NOT EVIDENCE") < text.index("## ")
    assert text.count("AI-GENERATED DETAIL — NOT EVIDENCE") >= 2


def test_an_independent_look_at_the_statement(disclosure: Disclosure) -> None:
    """What a script with nothing but a JSON reader sees."""
    envelope = json.loads((disclosure.folder / "bundle.json").read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    listed = {subject["name"] for subject in statement["subject"]}
    assert listed == set(files_of(disclosure.folder)) - {"bundle.json", "tagmanifest-sha256.txt"}
