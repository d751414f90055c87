"""Attacks by the exhibit: on the decoder, through it on the machine, and through its texts on the reader."""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forensic.case.acquire import acquire
from forensic.case.progress import Silent
from forensic.case.workspace import open_workspace
from forensic.errors import BadInput
from forensic.media import scan as scanning
from forensic.media.sandbox.process import DecoderProcess, Limits, isolation_here
from forensic.media.sandbox.reader import SandboxedReader
from tests.case.conftest import forensic
from tests.media.conftest import ffmpeg

_QUICK = Limits(memory=1 << 28, silent_s=1.5, barren_s=2.5)
_SMALL = Limits(memory=1 << 28)
_DECODERS = "tests.attacks.decoders."


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "ws"
    assert forensic("init", "-w", root).code == 0
    return root


def _attack(
    monkeypatch: pytest.MonkeyPatch, workspace: Path, file: Path, decoder: str, granted: Limits = _SMALL
) -> BadInput:
    """Acquire ``file`` with a real confined child that runs ``decoder``; then see that all is as it should be."""
    hostile = functools.partial(SandboxedReader, module=_DECODERS + decoder)
    with monkeypatch.context() as patched:
        patched.setattr(scanning, "SandboxedReader", lambda path, limits: hostile(path, limits=granted))
        with pytest.raises(BadInput) as caught:
            _acquire(workspace, file)
    entries = forensic("log", "-w", workspace, "--json").json
    assert entries[-1]["name"] == "acquisition.failed"
    assert entries[-1]["data"]["code"] == caught.value.code
    assert list((workspace / "exhibits").iterdir()) == []
    again = forensic("acquire", file, "--case", "C", "--exhibit", "X", "-w", workspace, "--json")
    assert again.code == 0, again.err
    assert again.json["frames"]["count"] == 120
    assert forensic("verify", workspace).code == 0
    return caught.value


def _acquire(root: Path, file: Path) -> None:
    with open_workspace(root, lambda: "") as workspace:
        acquire(workspace, file, case="C", exhibit_id="X", note=None, progress=Silent())


def test_decoder_crashes(monkeypatch: pytest.MonkeyPatch, workspace: Path, real_clip: Path) -> None:
    error = _attack(monkeypatch, workspace, real_clip, "crashing")
    assert error.code == "media.decoder-crashed"
    assert "SIGSEGV" in error.message


def test_decoder_aborts(real_clip: Path) -> None:
    with pytest.raises(BadInput) as caught, SandboxedReader(real_clip, module=_DECODERS + "aborting"):
        pass
    assert caught.value.code == "media.decoder-crashed"
    assert "SIGABRT" in caught.value.message


def test_decoder_hangs(monkeypatch: pytest.MonkeyPatch, workspace: Path, real_clip: Path) -> None:
    start = time.monotonic()
    error = _attack(monkeypatch, workspace, real_clip, "hanging", _QUICK)
    assert error.code == "media.decoder-timeout"
    assert time.monotonic() - start < 30


def test_decoder_pretends_to_work(real_clip: Path) -> None:
    with (
        pytest.raises(BadInput) as caught,
        SandboxedReader(real_clip, limits=_QUICK, module=_DECODERS + "pretending"),
    ):
        pass
    assert caught.value.code == "media.decoder-timeout"
    assert "no frame" in caught.value.message


def test_decoder_hangs_while_nobody_watches(real_clip: Path) -> None:
    """The processor limit ends a child whose parent does not come to look."""
    limits = Limits(silent_s=0.5)
    with DecoderProcess(real_clip, "frames", limits=limits, module=_DECODERS + "hanging") as process:
        assert process.isolation["limits"]["processor_s"] == 3
        process._child.wait(60)
        with pytest.raises(BadInput) as caught:
            process.next()
    assert caught.value.code == "media.decoder-timeout"
    assert "processor time" in caught.value.message


def test_decoder_eats_memory(monkeypatch: pytest.MonkeyPatch, workspace: Path, real_clip: Path) -> None:
    error = _attack(monkeypatch, workspace, real_clip, "eating")
    assert error.code == "media.decoder-memory"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        one.settimeout(0.3)
        yield one


def _escape(tmp_path: Path, port: int) -> tuple[dict[str, str], Path, Path]:
    if isolation_here()["system_call_filter"] != "seccomp":
        pytest.fail("this machine has no filter of system calls; docs/media.md says what is then not stopped")
    secret, target = tmp_path / "secret.txt", tmp_path / "planted.txt"
    secret.write_text("the examiner's key")
    exhibit = tmp_path / "exhibit.mp4"
    exhibit.write_bytes(f"{port}|{target}|{secret}\0".encode() + bytes(5000))
    with pytest.raises(BadInput) as caught, SandboxedReader(exhibit, module=_DECODERS + "escaping"):
        pass
    assert caught.value.code == "media.escape-attempts", caught.value.message
    return dict(line.split(": ") for line in caught.value.message.split(" | ")), secret, target


def test_decoder_opens_a_socket(tmp_path: Path, listener: socket.socket) -> None:
    told, _, _ = _escape(tmp_path, listener.getsockname()[1])
    for way in ("tcp", "udp", "unix socket"):
        assert told[way] == str(errno.EPERM), told
    with pytest.raises(TimeoutError):
        listener.accept()


def test_decoder_writes_a_file(tmp_path: Path) -> None:
    told, secret, target = _escape(tmp_path, 9)
    assert not target.exists()
    assert secret.read_text() == "the examiner's key"
    allowed = {
        "write the exhibit": {errno.EBADF},  # it was opened for reading
        "start a program": {errno.EPERM, errno.ENOSYS},
    }
    for way, outcome in told.items():
        assert outcome != "DONE", (way, told)
        assert int(outcome) in allowed.get(way, {errno.EPERM}), (way, outcome)
    exhibit = tmp_path / "exhibit.mp4"
    assert exhibit.read_bytes().endswith(bytes(5000))
    assert os.getpid() > 0  # and we are still here: the signal did not arrive


def _external_reference(clip: bytes, other: Path) -> bytes:
    """An MP4 whose media are said to lie in another file (dref entry of type ``url ``, not self-contained)."""
    entry = struct.pack(">I4sI", 12, b"url ", 1)
    place = clip.index(entry)
    location = f"file://{other}".encode() + b"\0"
    foreign = struct.pack(">I4sI", 12 + len(location), b"url ", 0) + location
    changed = bytearray(clip[:place] + foreign + clip[place + len(entry) :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = changed.rindex(box, 0, place)
        size = struct.unpack_from(">I", changed, at - 4)[0]
        struct.pack_into(">I", changed, at - 4, size + len(location))
    return bytes(changed)


def test_media_names_another_file_or_url(tmp_path: Path, real_clip: Path, listener: socket.socket) -> None:
    secret = tmp_path / "secret.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=0.2", secret)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.ts"
    lists = {
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n",
        "local.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "session.sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n",
        "manifest.mpd": f'<?xml version="1.0"?>\n<MPD><BaseURL>{url}</BaseURL></MPD>',
    }
    for number, (name, text) in enumerate(lists.items()):
        path = tmp_path / name
        path.write_text(text)
        done = forensic("acquire", path, "--case", "C", "--exhibit", f"X{number}", "-w", tmp_path / "ws")
        assert done.code == 4, (name, done.out)
        assert "media.names-other-files" in done.err, (name, done.err)
    with pytest.raises(TimeoutError):
        listener.accept()
    external = tmp_path / "external.mov"
    whole = tmp_path / "whole.mov"
    ffmpeg("-i", real_clip, "-c", "copy", "-an", "-f", "mov", whole)  # the index comes last
    external.write_bytes(_external_reference(whole.read_bytes(), secret))
    with SandboxedReader(secret) as reader:
        foreign = {frame.sha256 for frame in reader.frames()}
    with SandboxedReader(real_clip) as reader:
        own = [frame.sha256 for frame in reader.frames()]
    with SandboxedReader(external) as reader:
        shown = [frame.sha256 for frame in reader.frames()]
    assert shown == own  # the reference is not followed
    assert not set(shown) & foreign
    log = forensic("log", "-w", tmp_path / "ws", "--json").json
    assert [entry["data"]["code"] for entry in log if entry["name"] == "acquisition.failed"] == [
        "media.names-other-files"
    ] * len(lists)


_ANSI = "\x1b[2J\x1b[31mred\x1b]0;owned\x07\x9b1m \u202egpj.exe\u2066 \r\nforged line \x00".replace("\0", "")
_MARKUP = (
    "<b>bold</b> <font color='red' size='90'>x</font> <a href='http://127.0.0.1/'>y</a> &amp; &#65; "
    "<img src='/etc/hostname' width='9'/> <para/> <script>z</script> ]]> %s {0} \\u0041 </para>"
)


def _tagged(folder: Path, clip: Path, text: str, name: str) -> Path:
    path = folder / name
    ffmpeg("-i", clip, "-c", "copy", "-metadata", f"title={text}", "-metadata", f"comment={text}",
           "-metadata:s:v", f"title={text}", "-f", "matroska", path)  # fmt: skip
    return path


def _all_output(path: Path, workspace: Path, *extra: str) -> tuple[str, Path]:
    """Everything that reading, enhancing and logging the file prints, and the folder of the run."""
    acquired = forensic("acquire", path, "--case", "C", "--exhibit", "X", "-w", workspace, *extra)
    assert acquired.code == 0, acquired.err
    run = forensic("enhance", "X", "-w", workspace, "--frames", "0:2", "--recipe", "plain-lanczos")
    assert run.code == 0, run.err
    folder = Path(run.last_line)
    checked = forensic("verify", folder)
    assert checked.code == 0, checked.out
    log = forensic("log", "-w", workspace)
    parts = [acquired.out, acquired.err, run.out, run.err, checked.out, checked.err, log.out, log.err]
    return "\n".join(parts), folder


def _text_of(report: Path) -> str:
    done = subprocess.run(["pdftotext", "-layout", report, "-"], capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def test_ansi_escapes_in_metadata_reach_no_terminal(tmp_path: Path, real_clip: Path) -> None:
    path = _tagged(tmp_path, real_clip, _ANSI, "\x1b[31mclip\u202e.mkv")
    printed, folder = _all_output(path, tmp_path / "ws")
    text = _text_of(folder / "report.pdf")
    for bad in ("\x1b", "\x07", "\x9b", "\u202e", "\u2066"):
        assert bad not in printed, repr(bad)
        assert bad not in text, repr(bad)
    assert "\nforged line" not in printed
    assert "\\x1b[31mred" in "".join(text.split())  # it is there to be read, made visible


def test_markup_in_metadata_reaches_no_report(tmp_path: Path, real_clip: Path) -> None:
    path = _tagged(tmp_path, real_clip, _MARKUP, "<i>clip<i>&.mkv")
    _, folder = _all_output(path, tmp_path / "ws", "--note", _MARKUP)
    report = folder / "report.pdf"
    text = "".join(_text_of(report).split())
    for literal in ("<b>bold</b>", "<script>z</script>", "&amp;", "&#65;", "<i>clip<i>&.mkv"):
        assert "".join(literal.split()) in text, literal
    from pypdf import PdfReader

    for page in PdfReader(report).pages:
        for annotation in page.get("/Annots") or ():
            action = annotation.get_object().get("/A") or {}
            assert "/URI" not in action and "/JS" not in action, action


def test_no_setting_chooses_the_decoder(tmp_path: Path, real_clip: Path) -> None:
    """A hostile folder or environment cannot put a program of its own in the decoder's place."""
    for name in ("forensic", "av", "numpy"):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('planted')")
    environment = {
        "PYTHONSTARTUP": str(tmp_path / "av" / "__init__.py"),
        "FORENSIC_DECODER": "tests.attacks.decoders.hanging",
    }
    program = (
        "import sys\nfrom pathlib import Path\nfrom forensic.media.sandbox.reader import SandboxedReader\n"
        "with SandboxedReader(Path(sys.argv[1])) as reader:\n    print(sum(1 for _ in reader.frames()))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, real_clip],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "120", done.stderr
