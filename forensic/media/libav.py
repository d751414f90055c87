"""The way into FFmpeg: opening one file and nothing else, catching what the libraries say.

Files are handed over as open streams, never as names, so that a file's name cannot act as a URL,
a pattern or a format hint; and every attempt of a demuxer to open a second file (playlists,
external references) is refused, so that no pixel can come from anywhere but the exhibit.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, NoReturn

import av
import av.error
import av.logging
from av.container import InputContainer

from forensic.errors import BadInput, StorageFailed
from forensic.media.visible import visible

MAX_SIDE = 16384
MAX_PIXELS = 1 << 27  # 134 217 728

# What FFmpeg reports is collected by `messages`, not printed. Python's "libav" logger gets only what
# is said outside such a block, and keeps it to itself. INFO is needed for one message: the H.264 decoder
# tells by it that it has concealed errors.
_logger = logging.getLogger("libav")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False
av.logging.set_level(av.logging.INFO)
av.logging.set_skip_repeated(False)

# Formats that draw text as pictures, or are descriptions of other files.
_NOT_FOOTAGE = frozenset(
    {"tty", "bin", "xbin", "adf", "idf", "lavfi", "concat", "hls", "dash", "imf", "sdp", "rtsp", "ffmetadata"}
)
_BLOCK = 1 << 20
_ContainerFlags: Any = av.container.core.Flags
_GENERATE_TIMES = int(_ContainerFlags.gen_pts.value)


class _OneFile:
    """Read-only stream over the exhibit with a neutral name."""

    name = "exhibit"

    def __init__(self, path: Path) -> None:
        self._file = FileIO(path, "rb")
        self.read = self._file.read
        self.seek = self._file.seek
        self.tell = self._file.tell
        self.close = self._file.close

    def seekable(self) -> bool:
        return True


def _refuse_second_file(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"refused: the file asks for another file, {visible(url, 200)!r}")


@contextmanager
def messages() -> Iterator[list[tuple[int, str, str]]]:
    """Collect (level, source, text) of what FFmpeg says on this thread, down to level INFO."""
    with av.logging.Capture(local=True) as logs:
        yield logs


def wording(error: BaseException, logs: list[tuple[int, str, str]] | None = None) -> str:
    """One line saying what FFmpeg complained about."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    said = [message.strip() for level, _, message in logs or [] if level <= av.logging.ERROR]
    return visible(f"{text} ({said[-1]})" if said else text, 500)


def check_regular(path: Path) -> int:
    """Size in bytes of the regular file at ``path``.

    Raises ``BadInput``: ``media.unreadable`` (missing, forbidden, directory, device, pipe) or
    ``media.empty``.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise BadInput("media.unreadable", f"{_name(path)} cannot be read: {_reason(error)}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise BadInput("media.unreadable", f"{_name(path)} is not a regular file.", "Give a file, not a folder.")
    if status.st_size == 0:
        raise BadInput("media.empty", f"{_name(path)} is empty (0 bytes).", "Ask for the export again.")
    return status.st_size


def _name(path: Path) -> str:
    return repr(visible(path.name, 200))


def _reason(error: BaseException) -> str:
    return visible(getattr(error, "strerror", None) or str(error), 200)


def open_exhibit(path: Path) -> InputContainer:
    """Open the media file at ``path`` for reading. The caller closes the container.

    Raises ``BadInput`` with ``media.unreadable``, ``media.empty``, ``media.too-large`` or
    ``media.no-video``; nothing else for any content.
    """
    check_regular(path)
    try:
        source = _OneFile(path)
    except OSError as error:
        raise BadInput("media.unreadable", f"{_name(path)} cannot be read: {_reason(error)}.") from error
    with messages() as logs:
        try:
            container = av.open(
                source,
                "r",
                # No protocol is allowed: a session description (SDP) would otherwise listen on the network.
                options={
                    "max_pixels": str(MAX_PIXELS),
                    "threads": "1",
                    "err_detect": "crccheck",
                    "protocol_whitelist": "none",
                },
                metadata_errors="backslashreplace",
                buffer_size=_BLOCK,
                io_open=_refuse_second_file,
            )
        except (av.error.FFmpegError, OSError, ValueError, RuntimeError, MemoryError) as error:
            source.close()
            refuse_too_large(logs)
            raise BadInput(
                "media.unreadable",
                f"{_name(path)} is not a media file that can be read: {wording(error, logs)}.",
                "Check that the export is complete; `ffprobe FILE` gives a second opinion.",
            ) from error
    refuse_too_large(logs)
    if _NOT_FOOTAGE & set(container.format.name.split(",")):
        name = container.format.name
        container.close()
        source.close()
        raise BadInput("media.no-video", f"{_name(path)} is {name!r}: text or a list of files, not recorded pictures.")
    # Timestamps that the file lacks are not to be made up behind our back.
    container.flags &= ~_GENERATE_TIMES
    return container


def refuse_too_large(logs: list[tuple[int, str, str]]) -> None:
    """Raise ``BadInput`` (``media.too-large``) if FFmpeg refused to allocate a picture for its size."""
    for _, _, message in logs:
        if "exceeds specified max pixel count" in message or ("Picture size" in message and "is invalid" in message):
            raise too_large(visible(message.strip(), 200))


def too_large(what: str) -> BadInput:
    """The error for a picture beyond the limits."""
    return BadInput(
        "media.too-large",
        f"The picture is too large: {what}.",
        f"At most {MAX_SIDE} samples a side and {MAX_PIXELS} in all are accepted.",
    )


def storage_failed(error: OSError, path: Path) -> StorageFailed:
    """The error for a failed write: ``media.disk-full`` or ``media.write-failed``."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG):
        return StorageFailed(
            "media.disk-full", f"No space left while writing {_name(path)}.", "Free space and run again."
        )
    return StorageFailed("media.write-failed", f"{_name(path)} cannot be written: {_reason(error)}.")


def sync(descriptor: int) -> None:
    """Push a file's bytes to the disk."""
    os.fsync(descriptor)


def software_facts() -> dict[str, Any]:
    """Versions of PyAV and the FFmpeg libraries in it, their configuration and licence."""
    libraries = av._core.library_meta
    return {
        "pyav": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "libraries": {name: ".".join(map(str, facts["version"])) for name, facts in sorted(libraries.items())},
        "configuration": libraries["libavcodec"]["configuration"],
        "licence": libraries["libavcodec"]["license"],
    }


class Serial(int):
    """A packet's number as its ``opaque``: an object of its own for every packet.

    PyAV keeps opaque values by their address and forgets them when a packet is freed. Equal small
    integers are one object in CPython, so that a packet freed late would take another's number along.
    """
