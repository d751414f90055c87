"""Seeds, made anew from the pinned real clip: small files of every kind, and one small case with everything in it."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from forensic.resources import data_root
from tests.case.conftest import forensic
from tests.footage import fetch
from tests.media.conftest import ffmpeg

_TONE = ("-f", "lavfi", "-i", "sine=duration=0.4:sample_rate=8000")


def build(folder: Path) -> Path:
    """The corpus in ``folder``, made if it is not there; several processes may ask at once."""
    marker = folder / "complete"
    while not marker.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            (folder.parent / f"{folder.name}.making").mkdir()
        except FileExistsError:
            time.sleep(0.2)
            continue
        making = Path(tempfile.mkdtemp(dir=folder.parent))
        _media(making)
        _texts(making)
        _case(making)
        (making / "complete").touch()
        shutil.rmtree(folder, ignore_errors=True)
        making.replace(folder)
    return folder


def _media(folder: Path) -> None:
    clip = fetch() / "carphone_pristine.mp4"
    small = ("-i", clip, *_TONE, "-frames:v", 8, "-s", "64x48", "-shortest")
    silent = ("-i", clip, "-frames:v", 8, "-s", "64x48", "-an")
    one = ("-i", clip, "-frames:v", 1, "-s", "64x48")
    made: dict[str, tuple[tuple[object, ...], ...]] = {
        "avi": ((*small, "-c:v", "mjpeg", "-c:a", "pcm_s16le"), (*small, "-c:v", "mpeg4", "-c:a", "libmp3lame")),
        "mp4": ((*small, "-c:v", "libx264", "-bf", 2, "-c:a", "aac"), (*silent, "-c:v", "mpeg4")),
        "mkv": ((*small, "-c:v", "libx264", "-c:a", "aac"), (*silent, "-c:v", "ffv1")),
        "ts": ((*small, "-c:v", "mpeg2video", "-c:a", "aac"),),
        "h264": (
            (*silent, "-c:v", "libx264", "-bf", 2),
            (*silent, "-c:v", "libx264", "-x264opts", "slices=4:no-deblock"),
        ),
        "jpg": (one, (*one, "-pix_fmt", "yuvj444p")),
        "png": (one, (*one, "-pix_fmt", "rgb48be"), (*one, "-pix_fmt", "pal8")),
        "gif": ((*silent,),),
        "tif": (one,),
        "bmp": (one,),
        "webp": (one,),
    }
    for kind, ways in made.items():
        (folder / kind).mkdir()
        for number, arguments in enumerate(ways):
            form = ("-f", "mpegts") if kind == "ts" else ()
            ffmpeg(*arguments, *form, folder / kind / f"{number}.{kind}")


def _texts(folder: Path) -> None:
    shipped = data_root()
    for kind, files in {
        "card": sorted((shipped / "models").glob("*/card.toml")),
        "policy": sorted((shipped / "policies").glob("*.cedar")),
    }.items():
        (folder / kind).mkdir()
        for path in files:
            name = f"{path.parent.name}.toml" if kind == "card" else path.name
            (folder / kind / name).write_bytes(path.read_bytes())
    from forensic.stages.recipe import shipped_recipes_dir

    (folder / "recipe").mkdir()
    for path in sorted(shipped_recipes_dir().glob("*.toml")):
        (folder / "recipe" / path.name).write_bytes(path.read_bytes())


def _command(*arguments: object) -> str:
    done = forensic(*arguments)
    assert done.code == 0, (arguments, done.err)
    return done.last_line


def _case(folder: Path) -> None:
    """A workspace with one small run, a checkpoint, a witness's cosignature, a transfer, a bundle."""
    root = folder / "ws"
    clip = folder / "avi" / "0.avi"
    _command("acquire", clip, "--case", "FUZZ", "--exhibit", "X1", "-w", root)
    run = Path(
        _command(
            "enhance", "X1", "-w", root, "--recipe", "plain-lanczos", "--frames", "0:3", "--stills", "1", "--quiet"
        )
    )
    transfer = folder / "transfer.json"
    _command("custody", "transfer", "X1", "--out", transfer, "--reason", "fuzz", "--to", "Nobody", "-w", root)
    request, answer = folder / "request", folder / "answer"
    _command("anchor", "--offline", "--export", request, "-w", root, "--quiet")
    log_key = forensic("anchor", "--offline", "-w", root, "--json").json
    vkey = next(value for value in _strings(log_key) if value.startswith("forensic-ledger/") and value.count("+") >= 2)
    witness = folder / "witness"
    _command("init", "-w", witness)
    done = forensic("witness", request, "--log-key", vkey, "-w", witness)
    assert done.code == 0, done.err
    answer.write_text(done.out)
    bundle = folder / "bundle.zip"
    _command("bundle", run.name, "-w", root, "--zip", "--out", bundle, "--quiet")
    checkpoint = sorted((root / "anchors").glob("*/checkpoint"))[-1]
    found: dict[str, list[Path]] = {
        "ledger": [root / "ledger.sqlite"],
        "statement": [run / "attestation.json", sorted((run / "stills").glob("*.png.json"))[0]],
        "still": sorted((run / "stills").glob("*.png"))[:2],
        "report": [run / "report.pdf"],
        "rows": [run / "frames.jsonl"],
        "transfer": [transfer],
        "note": [checkpoint],
        "request": [request],
        "answer": [answer],
        "bundle": [bundle],
        "certificate": [root / "identity" / "certificate.pem"],
        "acquisition": [next((root / "exhibits").glob("*/acquisition.json"))],
    }
    for kind, files in found.items():
        target = folder / f"{kind}.seeds"
        target.mkdir()
        for number, path in enumerate(files):
            shutil.copyfile(path, target / f"{number}{path.suffix}")
    (folder / "vkey").write_text(vkey)
    shutil.copytree(run, folder / "run" / run.name)


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) else []


def seeds(folder: Path, kind: str) -> list[bytes]:
    """The seeds of ``kind``, in a fixed order."""
    place = folder / f"{kind}.seeds" if (folder / f"{kind}.seeds").is_dir() else folder / kind
    return [path.read_bytes() for path in sorted(place.iterdir()) if path.is_file()]
