"""A run folder with everything that a report is made of: pictures, record, signed attestation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from forensic.signing.identity import Identity
from forensic.signing.statement import RUN_PREDICATE, Subject, build_statement, sign_statement

RUN = "20260301T120000Z-7f3a9c"


@dataclass
class ExampleRun:
    """A run folder, its record and the bytes of its attestation."""

    folder: Path
    predicate: dict[str, Any]
    attestation: bytes


def drawn_frame(number: int, size: tuple[int, int] = (176, 144)) -> Image.Image:
    """A picture with structure: a gradient, a car-like box that moves, some text and fixed noise."""
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    grey = 60 + 90 * columns / width + 30 * np.sin(rows / 7.0)
    noise = np.random.default_rng(number).normal(0, 3, (height, width))
    planes = np.clip(np.stack([grey + noise, grey * 0.95 + noise, grey * 0.9 + 12 + noise], -1), 0, 255)
    image = Image.fromarray(planes.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    left = 10 + 5 * number % max(1, width - 60)
    draw.rectangle((left, height * 2 // 3, left + 40, height * 2 // 3 + 18), fill=(150, 30, 30))
    draw.text((left + 4, height * 2 // 3 + 3), "AB12", fill=(240, 240, 240))
    draw.text((4, 4), f"CAM 3  12:00:{number:02d}", fill=(250, 250, 250))
    return image


def _overlay(after: Image.Image, levels: np.ndarray) -> Image.Image:
    picture = np.asarray(after.convert("L").convert("RGB")).copy() // 4 * 3
    rows, columns = np.indices(levels.shape)
    picture[(levels == 1) & ((rows + columns) % 12 < 2)] = (240, 228, 66)
    picture[(levels == 2) & (((rows + columns) % 8 < 2) | ((rows - columns) % 8 < 2))] = (213, 94, 0)
    legend = Image.new("RGB", (after.width, 24), (250, 250, 250))
    ImageDraw.Draw(legend).text((4, 6), "UNCALIBRATED RISK MAP - NOT A PROBABILITY", fill=(20, 20, 20))
    whole = Image.new("RGB", (after.width, after.height + 24))
    whole.paste(Image.fromarray(picture), (0, 0))
    whole.paste(legend, (0, after.height))
    return whole


def _save(folder: Path, name: str, image: Image.Image) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "PNG", compress_level=1)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pictures(folder: Path, frames: Sequence[int], scale: int, source: Callable[[int], Image.Image]) -> Any:
    stills, mapped = [], []
    for number in frames:
        before = source(number)
        after = before.resize((before.width * scale, before.height * scale), Image.Resampling.LANCZOS)
        levels = np.zeros((after.height, after.width), np.uint8)
        levels[32:96, 48:160] = 1
        levels[64:96, 64:112] = 2
        names = {kind: f"risk/{number:06d}.{kind}.png" for kind in ("risk", "level", "overlay")}
        _save(folder, names["risk"], Image.fromarray(levels.astype(np.uint16) * 700))
        _save(folder, names["level"], Image.fromarray(levels))
        _save(folder, names["overlay"], _overlay(after, levels))
        stills.append(
            {
                "frame": number,
                "after": f"stills/{number:06d}.png",
                "before": f"stills/{number:06d}.source.png",
                "sha256": _save(folder, f"stills/{number:06d}.png", after),
                "before_sha256": _save(folder, f"stills/{number:06d}.source.png", before),
            }
        )
        regions = [
            {"number": 1, "level": "HIGH", "x": 64, "y": 64, "w": 48, "h": 32, "tiles": 6, "risk_p90": 9.71,
             "driver": "null-space injection", "worst_tile": [64, 64]},
            {"number": 2, "level": "MEDIUM", "x": 48, "y": 32, "w": 112, "h": 64, "tiles": 22, "risk_p90": 4.2,
             "driver": "range conflict", "worst_tile": [48, 32]},
        ]  # fmt: skip
        mapped.append(
            {
                "frame": number,
                "pts": number * 512,
                "files": names,
                "summary": {"levels": {"LOW": 0.8, "MEDIUM": 0.15, "HIGH": 0.05}, "noise_sigma": 2.1},
                "regions": regions,
                "regions_not_listed": 0,
            }
        )
    return stills, mapped


def _stage(position: int, name: str, title: str, kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "position": position,
        "name": name,
        "title": title,
        "class": kind,
        "parameters": parameters,
        "explanation": f"{title} replaces each picture element by a weighted mean of its neighbourhood in the source. "
        "The weights are published and do not depend on what the picture shows.",
        "artefacts": ["Slight ringing beside strong edges.", "Fine texture can become smoother."],
        "references": ["Turkowski, Filters for Common Resampling Tasks, Graphics Gems I, 1990."],
        "why": "Makes small detail large enough to be looked at, without adding any.",
        "learned": False,
        "model": None,
        "radius": 0,
        "scale": 1,
    }


def build_run(
    folder: Path,
    identity: Identity,
    *,
    frames: Sequence[int] = (0, 5),
    scale: int = 2,
    source: Callable[[int], Image.Image] = drawn_frame,
    change: Callable[[dict[str, Any]], None] = lambda predicate: None,
) -> ExampleRun:
    """Write a run into ``folder``. ``change`` may alter the record before it is signed."""
    folder.mkdir(parents=True, exist_ok=True)
    stills, mapped = _pictures(folder, frames, scale, source)
    first = source(frames[0]) if frames else drawn_frame(0)
    width, height = first.size
    (folder / "output.mkv").write_bytes(b"\x1aE\xdf\xa3 an output file")
    rows = [{"flags": [], "frame": number, "pts": number * 512, "sha256": "ab" * 32} for number in frames]
    (folder / "frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "risk").mkdir(exist_ok=True)
    (folder / "risk" / "regions.json").write_text("{}")
    colour = {"matrix": 1, "primaries": 1, "transfer": 1, "full_range": False, "chroma_location": "left"}
    predicate: dict[str, Any] = {
        "schema": RUN_PREDICATE,
        "tool": {"name": "forensic", "version": "0.1.0"},
        "run": {
            "id": RUN, "started_utc": "2026-03-01T12:00:00.120000Z", "finished_utc": "2026-03-01T12:00:41.530000Z",
            "duration_s": 41.41, "mode": "forensic", "reason": None, "purpose": "examination",
            "question": "Which way does the vehicle turn at the junction?", "workers": 4,
            "command": ["forensic", "enhance", "EX-1", "--recipe", "classic", "--scale", "2", "--stills", "0,5"],
            "reproduce_command": f"forensic reproduce {RUN}",
        },
        "workspace": {"id": "0f1c7c1e-8c1f-4e0b-9b7e-3f1f52c1a2b3", "ledger_head": {"seq": 7, "hash": "c4" * 32}},
        "examiner": {"name": "Ada Examiner", "lab": "Lab 7", "identity": identity.facts()},
        "case": {"id": "2026-0147"},
        "exhibit": {
            "id": "EX-1", "file_name": "traffic_camera.mp4", "source_path": "/media/usb/export/traffic_camera.mp4",
            "sha256": "5e" * 32, "size": 2012084, "acquired_utc": "2026-03-01T11:58:02.000000Z", "note": None,
            "media": {
                "container": "mov,mp4,m4a,3gp,3g2,mj2", "duration_s": "19.2", "bit_rate": 838368,
                "streams": [
                    {"index": 0, "type": "video", "codec": "h264", "profile": "High", "time_base": "1/15360"},
                    {"index": 1, "type": "audio", "codec": "aac", "sample_rate": 44100},
                ],
            },
            "geometry": {"width": width, "height": height, "pixel_format": "yuv420p", "sample_aspect": None},
            "colour": colour, "time_base": "1/15360",
            "frames": {
                "count": 576, "merkle_root": "9a" * 32, "first_pts": 0, "last_pts": 294400, "vfr": False,
                "timing": {"interval_ticks": {"512": 575}, "nominal_rate": "30"},
            },
            "anomalies": [{"kind": "duplicate", "frame": 17, "pts": 8704, "detail": "same picture as frame 16"}],
            "anomaly_counts": {"duplicate": 1}, "acquisition_defaults": [],
        },
        "selection": {
            "frames": [0, 100], "roi": None, "stills": [5], "mapped": list(frames),
            "rule": "8 evenly spaced frames and those named with --stills",
        },
        "policy": {
            "allowed": True,
            "policy": {"name": "forensic", "origin": "built-in", "sha256": "1d" * 32, "schema_sha256": "2e" * 32},
            "engine": "cedarpy 4.12",
            "context": {"examiner": "Ada Examiner", "mode": "forensic", "purpose": "examination", "reason": ""},
            "stages": [
                {"stage": name, "allowed": True, "reason": "Permitted: fidelity class or lower.", "request": {},
                 "cedar": None, "rules": [{"id": "permit-up-to-fidelity", "effect": "permit", "detail": "",
                 "explanation": "Stages that do not invent detail may be used in forensic mode."}]}
                for name in ("denoise-nlm", "resize")
            ],
        },
        "recipe": {
            "name": "classic", "title": "Classic clarification", "why": "A cautious default without learned models.",
            "sha256": "3f" * 32, "source": "built-in", "overrides": [{"what": "scale", "value": 2}],
            "stages": [
                _stage(1, "denoise-nlm", "Non-local means", "fidelity", {
                    "strength": {"value": 3.0, "unit": "grey levels", "default": True},
                    "patch": {"value": 7, "unit": "pixels", "default": True}}),
                _stage(2, "resize", "Resize (Lanczos)", "geometric", {
                    "scale": {"value": scale, "unit": None, "default": False},
                    "kernel": {"value": "lanczos3", "unit": None, "default": True}}),
            ],
        },
        "models": [],
        "output": {
            "file": "output.mkv", "sha256": hashlib.sha256((folder / "output.mkv").read_bytes()).hexdigest(),
            "size": (folder / "output.mkv").stat().st_size,
            "geometry": {"width": width * scale, "height": height * scale, "pixel_format": "yuv420p",
                         "sample_aspect": None},
            "colour": colour, "time_base": "1/15360",
            "codec": {"name": "ffv1", "level": 3, "slices": 16, "slicecrc": True, "container": "Matroska"},
            "frames": {"count": 100, "first": 0, "last": 99, "merkle_root": "7b" * 32, "manifest": "frames.jsonl"},
            "stage_class": "fidelity", "labelled": False,
        },
        "tracks": {"carried": [], "not_carried": [{"index": 1, "type": "audio", "codec": "aac",
                   "reason": "only part of the frames was asked for (--frames)"}]},
        "risk": {
            "status": "UNCALIBRATED",
            "forward_model": {"model": "downsample(blur(output)) = input, on luma", "scale": scale, "psf": "none"},
            "thresholds": {"medium": 3.0, "high": 8.0, "unit": "grey levels of the 8-bit scale"},
            "tile": 16, "frames": mapped,
        },
        "stills": stills,
        "environment": {
            "forensic": "0.1.0", "python": "3.11.7", "platform": "Linux-6.1-x86_64", "processor": "Example CPU",
            "packages": {"numpy": "2.4.6", "torch": "2.13.0", "opencv-python-headless": "5.0.0"},
            "ffmpeg": {"libavcodec": "62.11.100", "configuration": "--enable-gpl"},
        },
        "defaults": ["Recipe: none was named, so “classic” was used.", "Workers: 4, the number of cores."],
        "warnings": ["The signing key is not protected by a passphrase."],
        "failed_attempts": [
            {"run": "20260301T115900Z-11aa22", "event": "run.refused", "utc": "2026-03-01T11:59:00.000000Z",
             "reason": "policy.denied: stage test-generative is of generative class"}
        ],
    }  # fmt: skip
    change(predicate)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    subjects = [Subject(name, hashlib.sha256((folder / name).read_bytes()).hexdigest()) for name in names]
    attestation = sign_statement(build_statement(RUN_PREDICATE, subjects, predicate), identity)
    (folder / "attestation.json").write_bytes(attestation)
    return ExampleRun(folder, json.loads(json.dumps(predicate)), attestation)
