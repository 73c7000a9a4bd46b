# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of sound file comes back as 16 kHz mono; every bad one as one line and code 3."""

import subprocess
import wave

import imageio_ffmpeg
import numpy as np
import pytest

from core.audio import SAMPLE_RATE, load
from core.errors import ExitCode, UserError

TONE = 440.0


def ffmpeg(*arguments):
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)],
                   check=True, stdin=subprocess.DEVNULL)  # fmt: skip


def write_wav(path, samples, rate=SAMPLE_RATE):
    """Samples (N,) or (N, channels) in -1..1 as 16-bit wav."""
    samples = np.atleast_2d(samples.T).T
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def tone(seconds, rate=SAMPLE_RATE, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * TONE * np.arange(round(seconds * rate)) / rate)


def peak_frequency(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * SAMPLE_RATE / len(samples)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("ton spur é 音") / "stimme mit raum ü.wav"
    write_wav(path, np.stack([tone(1.0, 44100)] * 2, 1), 44100)
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.opus", "a.m4a"])
def test_sound_formats(source, name):
    path = source.with_name(name)
    ffmpeg("-i", source, *(["-c:a", "libvorbis"] if name == "a.ogg" else []), path)
    samples = load(path)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=900)
    assert peak_frequency(samples) == pytest.approx(TONE, abs=3)
    assert np.abs(samples[4000:12000]).max() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("name", ["f.mp4", "f.mov", "f.mkv"])
def test_the_sound_of_a_film(source, name):
    path = source.with_name(name)
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:d=1:r=25", "-i", source, "-shortest", path)
    samples = load(path)
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=1200)
    assert peak_frequency(samples) == pytest.approx(TONE, abs=3)


def test_late_sound_of_a_film_stays_late(source):
    path = source.with_name("late.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:d=2:r=25", "-itsoffset", "0.5", "-i", source, path)
    samples = load(path)
    assert np.abs(samples[: int(0.45 * SAMPLE_RATE)]).max() < 0.01
    assert np.abs(samples[int(0.6 * SAMPLE_RATE) : SAMPLE_RATE]).max() > 0.3


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channels(tmp_path, rate, channels):
    path = tmp_path / "x.wav"
    write_wav(path, np.stack([tone(0.5, rate)] * channels, 1), rate)
    samples = load(path)
    assert len(samples) == pytest.approx(SAMPLE_RATE / 2, abs=2)
    assert peak_frequency(samples) == pytest.approx(TONE, abs=4)


def test_trim_is_exact_to_the_sample(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * SAMPLE_RATE)
    write_wav(tmp_path / "n.wav", noise)
    whole = load(tmp_path / "n.wav")
    part = load(tmp_path / "n.wav", start=1.25, length=0.5)
    assert len(part) == SAMPLE_RATE // 2
    np.testing.assert_array_equal(part, whole[20000:28000])


@pytest.mark.parametrize("length", [9.0, 1e300])
def test_trim_over_the_end_gives_the_rest(tmp_path, length):
    write_wav(tmp_path / "n.wav", tone(1.0))
    assert len(load(tmp_path / "n.wav", start=0.75, length=length)) == SAMPLE_RATE // 4


def test_sides_in_antiphase_do_not_cancel(tmp_path):
    write_wav(tmp_path / "x.wav", np.stack([tone(0.5), -tone(0.5)], 1))
    assert np.abs(load(tmp_path / "x.wav")).max() > 0.4


@pytest.mark.parametrize("channels", [3, 8, 9, 10, 12, 16, 24, 32])
def test_no_track_of_a_recorder_is_lost(tmp_path, channels):
    for speaks in (0, 2, channels - 1):
        sound = np.zeros((SAMPLE_RATE // 2, channels))
        sound[:, speaks] = tone(0.5)
        write_wav(tmp_path / "x.wav", sound)
        samples = load(tmp_path / "x.wav")
        assert peak_frequency(samples) == pytest.approx(TONE, abs=4)
        assert np.abs(samples).max() == pytest.approx(0.5 / channels, abs=1e-3)


def test_the_loudest_of_many_stands_in_where_they_cancel(tmp_path):
    sound = np.zeros((SAMPLE_RATE // 2, 4))
    sound[:, 2], sound[:, 3] = tone(0.5), -tone(0.5)
    write_wav(tmp_path / "x.wav", sound)
    assert np.abs(load(tmp_path / "x.wav")).max() == pytest.approx(0.5, abs=1e-3)


def test_surround_sound_keeps_its_centre(tmp_path):
    write_wav(tmp_path / "mono.wav", tone(0.5))
    ffmpeg("-i", tmp_path / "mono.wav", "-af", "pan=5.1|FC=c0", tmp_path / "film.wav")
    assert np.abs(load(tmp_path / "film.wav")).max() > 0.1


def test_a_tenth_of_a_second(tmp_path):
    write_wav(tmp_path / "x.wav", tone(0.1))
    assert len(load(tmp_path / "x.wav")) == SAMPLE_RATE // 10


def test_blocks_join_without_a_seam(tmp_path):
    noise = np.random.default_rng(1).integers(-9000, 9000, 130 * SAMPLE_RATE)
    write_wav(tmp_path / "long.wav", noise / 32767)
    np.testing.assert_array_equal(np.round(load(tmp_path / "long.wav") * 32768), noise)


def test_a_broken_tail_gives_what_can_be_given(source):
    path = source.with_name("broken.mp3")
    ffmpeg("-i", source, path)
    path.write_bytes(path.read_bytes()[:9000])
    assert 2000 < len(load(path)) < SAMPLE_RATE


def refuses(path, **trim):
    with pytest.raises(UserError) as caught:
        load(path, **trim)
    assert caught.value.code == ExitCode.BAD_INPUT
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refuses_a_missing_file(tmp_path):
    assert "There is no file" in refuses(tmp_path / "none.wav")


def test_refuses_a_folder(tmp_path):
    assert "folder" in refuses(tmp_path)


def test_refuses_an_empty_file(tmp_path):
    (tmp_path / "e.wav").touch()
    assert "is empty" in refuses(tmp_path / "e.wav")


@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 40, bytes(5000)])
def test_refuses_what_is_no_sound(tmp_path, content):
    (tmp_path / "t.mp3").write_bytes(content)
    assert "no sound" in refuses(tmp_path / "t.mp3")


def test_refuses_an_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "x.wav"
    write_wav(path, tone(0.1))

    def denied(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("core.audio.open", denied, raising=False)
    assert "Permission denied" in refuses(path)


def test_a_missing_ffmpeg_is_told(tmp_path, monkeypatch):
    write_wav(tmp_path / "x.wav", tone(0.1))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(UserError, match="ffmpeg") as caught:
        load(tmp_path / "x.wav")
    assert caught.value.code == ExitCode.MISSING


def test_refuses_a_film_without_sound(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:d=0.2:r=25", tmp_path / "mute.mp4")
    assert "has no sound" in refuses(tmp_path / "mute.mp4")


def test_refuses_a_header_without_samples(tmp_path):
    write_wav(tmp_path / "h.wav", np.zeros((0, 1)))
    assert "no sound" in refuses(tmp_path / "h.wav")


def test_refuses_a_trim_with_nothing_left(tmp_path):
    write_wav(tmp_path / "x.wav", tone(0.5))
    assert "after 2 s" in refuses(tmp_path / "x.wav", start=2.0)
    assert "after 1e+300 s" in refuses(tmp_path / "x.wav", start=1e300)


@pytest.mark.parametrize("trim", [{"start": -1.0}, {"start": float("nan")}, {"length": 0.0}])
def test_refuses_a_senseless_trim(tmp_path, trim):
    write_wav(tmp_path / "x.wav", tone(0.1))
    assert "Expected" in refuses(tmp_path / "x.wav", **trim)
