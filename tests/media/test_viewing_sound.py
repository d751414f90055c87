"""Sound of viewing copies is decoded in the confined process, by nobody else, and comes out the same."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.stageclass import StageClass
from forensic.media.sandbox.listening import SandboxedSound
from forensic.media.viewing import write_viewing_copy
from tests.media.conftest import ffmpeg


def _samples(path: Path, channels: int) -> np.ndarray:
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:a:0", "-ar", "48000", "-f", "f32le", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, "<f4").reshape(-1, channels).T


@pytest.mark.parametrize(("channels", "codec"), [(1, "pcm_s16le"), (2, "flac")])
def test_samples_are_those_that_ffmpeg_decodes(tmp_path: Path, real_clip: Path, channels: int, codec: str) -> None:
    source = tmp_path / "in.mkv"
    tone = f"sine=duration=2:frequency=440:sample_rate=48000,aformat=channel_layouts={['', 'mono', 'stereo'][channels]}"
    ffmpeg("-i", real_clip, "-f", "lavfi", "-i", tone, "-c:v", "copy", "-c:a", codec, "-shortest", source)
    with SandboxedSound(source) as sound:
        assert (sound.tracks, sound.channels) == (1, channels)
        places, blocks = zip(*sound.blocks(), strict=True)
    assert list(places) == list(np.cumsum([0, *(block.shape[1] for block in blocks[:-1])]))
    expected = _samples(source, channels)
    assert np.array_equal(np.concatenate(blocks, axis=1), expected)
    assert sound.lost == 0


def test_a_viewing_copy_has_the_masters_sound(tmp_path: Path, real_clip: Path) -> None:
    source, copy = tmp_path / "in.mkv", tmp_path / "copy.mp4"
    tone = "sine=duration=2:frequency=440:sample_rate=44100"
    ffmpeg("-i", real_clip, "-f", "lavfi", "-i", tone, "-c:v", "copy", "-c:a", "aac", "-shortest", source)
    said = write_viewing_copy(source, copy, stage_class=StageClass.PRESENTATION, title="t")["sound"]
    assert said == "first track, encoded as AAC, mono"
    before, after = _samples(source, 1)[0], _samples(copy, 1)[0]
    length = min(before.size, after.size) - 4096
    assert length > 48_000
    shifts = [np.dot(before[2048 : length - 2048], after[2048 + s : length - 2048 + s]) for s in range(-1100, 1101)]
    power = float(np.dot(before[2048 : length - 2048], before[2048 : length - 2048]))
    assert max(shifts) > 0.98 * power


def test_a_gap_in_the_sound_is_silence_and_said(tmp_path: Path, real_clip: Path) -> None:
    source, copy = tmp_path / "in.mkv", tmp_path / "copy.mp4"
    gap = ("-af", "asetpts=if(gt(PTS\\,48000)\\,PTS+24000\\,PTS)")
    tone = ("-f", "lavfi", "-i", "sine=duration=2:frequency=440:sample_rate=48000")
    ffmpeg("-i", real_clip, *tone, *gap, "-c:v", "copy", "-c:a", "pcm_s16le", source)
    said = write_viewing_copy(source, copy, stage_class=StageClass.PRESENTATION, title="t")["sound"]
    assert said == "first track, encoded as AAC, mono; 0.500 s without sound filled with silence"
    quiet = np.abs(_samples(copy, 1)[0]) < 1e-3
    assert quiet[50_000:70_000].all()


def test_a_decoder_that_makes_sound_up_beyond_any_recording_is_a_breach(tmp_path: Path, real_clip: Path) -> None:
    source = tmp_path / "in.mkv"
    tone = ("-f", "lavfi", "-i", "sine=duration=1")
    ffmpeg("-i", real_clip, *tone, "-c:v", "copy", "-c:a", "pcm_s16le", "-shortest", source)
    with (
        SandboxedSound(source, module="tests.attacks.decoders.lying_sound") as sound,
        pytest.raises(BadInput) as caught,
    ):
        list(sound.blocks())
    assert caught.value.code == "media.decoder-breach"


def test_the_parent_opens_no_file_to_read_it_with_ffmpeg(
    tmp_path: Path, real_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in.mkv"
    ffmpeg("-i", real_clip, "-f", "lavfi", "-i", "sine=duration=1", "-c:v", "copy", "-c:a", "flac", "-shortest", source)
    opened, real = [], av.open

    def watched(file: Any, mode: str = "r", **options: Any) -> Any:
        opened.append(mode)
        return real(file, mode, **options)

    monkeypatch.setattr(av, "open", watched)
    write_viewing_copy(source, tmp_path / "copy.mp4", stage_class=StageClass.PRESENTATION, title="t")
    assert opened == ["w"]
