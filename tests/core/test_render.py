# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import math
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core import render as module
from core.avatars import AvatarCard, find, save_avatar
from core.cli.guard import as_user_error
from core.conditioning import Conditioning
from core.errors import Cancelled, ExitCode, UserError
from core.models.head import TINY, tiny_head_network
from core.protocol import RenderParams
from core.raster import Camera
from core.render import LEDGER, frame_name, render
from core.toy_head import write_toy_head
from core.tracks import FaceTracks

FRAMES = 6


def tracks_of(count: int = FRAMES, emotion: int = 0) -> FaceTracks:
    rng = np.random.default_rng(3)
    weights = np.zeros((count, 8), np.float32)
    weights[:, emotion] = 1.0
    return FaceTracks(
        fps=Fraction(25),
        expression=rng.uniform(0, 0.7, (count, 42)).astype(np.float32),
        blink=rng.uniform(0, 1, (count, 2)).astype(np.float32),
        gaze=rng.normal(0, 0.1, (count, 2, 2)).astype(np.float32),
        head_rotation=rng.normal(0, 0.05, (count, 3)).astype(np.float32),
        head_translation=rng.normal(0, 0.002, (count, 3)).astype(np.float32),
        emotion=weights,
    )


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("avatär of two")
    write_toy_head(place / "head.npz")
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    save_avatar(place / "toy", card, Camera(), tiny_head_network(), place / "head.npz")
    return place / "toy"


@pytest.fixture
def params(avatar: Path, tmp_path: Path) -> RenderParams:
    tracks = tmp_path / "träcks 1.npz"
    tracks_of().save(tracks)
    return RenderParams(str(tracks), str(avatar), str(tmp_path / "främes to see"))


def contents(params: RenderParams) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(Path(params.output).glob("*.png"))}


def test_frames_are_written_and_counted_from_one(params: RenderParams) -> None:
    steps: list[tuple[str, int, int]] = []
    result = render(params, lambda *step: steps.append(step))
    assert (result.first, result.last, result.rendered, result.kept) == (1, FRAMES, FRAMES, 0)
    assert list(contents(params)) == [frame_name(n) for n in range(1, FRAMES + 1)]
    picture = Image.open(Path(params.output) / frame_name(2))
    assert (picture.size, picture.mode) == ((256, 256), "RGB")
    assert steps[0] == ("render", 0, FRAMES)
    assert steps[-1] == ("render", FRAMES, FRAMES)
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    assert not list(Path(params.output).glob("*.part"))
    assert not [t for t in threading.enumerate() if t.name.startswith(("picturing", "writing"))]


def test_alpha_where_it_is_asked_for(params: RenderParams, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no alpha") as error:
        render(replace(params, alpha=True))
    assert error.value.code == ExitCode.BAD_INPUT
    card = AvatarCard("toy", "GPL-3.0-or-later", "toy", "no person", "")
    head = Path(params.avatar) / "proxy.npz"
    save_avatar(tmp_path / "cut out", card, Camera(), tiny_head_network(config=replace(TINY, alpha=True)), head)
    params = replace(params, avatar=str(tmp_path / "cut out"), frames=(1, 2))
    render(params)
    assert Image.open(Path(params.output) / frame_name(1)).mode == "RGB"
    assert render(replace(params, alpha=True)).rendered == 2
    picture = Image.open(Path(params.output) / frame_name(1))
    assert (picture.size, picture.mode) == ((256, 256), "RGBA")
    with pytest.raises(UserError) as error:
        render(replace(params, alpha=True, into=str(tmp_path)))
    assert error.value.code == ExitCode.USAGE


def test_the_face_moves(params: RenderParams) -> None:
    render(params)
    assert len(set(contents(params).values())) == FRAMES


def test_512_is_asked_for_and_given(params: RenderParams) -> None:
    render(replace(params, size=512, frames=(1, 1)))
    assert Image.open(Path(params.output) / frame_name(1)).size == (512, 512)


def test_same_input_same_bytes_whatever_the_range(params: RenderParams, tmp_path: Path) -> None:
    render(params)
    other = replace(params, output=str(tmp_path / "other"))
    render(replace(other, frames=(4, 6)))
    assert list(contents(other)) == [frame_name(n) for n in (4, 5, 6)]
    assert render(other).kept == 3
    assert contents(other) == contents(params)


def test_what_is_there_is_kept_and_a_spoilt_frame_made_again(params: RenderParams) -> None:
    render(params)
    before = contents(params)
    assert render(params).rendered == 0
    place = Path(params.output)
    (place / frame_name(2)).write_bytes(before[frame_name(2)][:50])
    (place / frame_name(5)).unlink()
    assert render(params).rendered == 2
    assert contents(params) == before
    assert render(replace(params, overwrite=True)).rendered == FRAMES
    assert contents(params) == before


def test_a_frame_of_other_tracks_seed_or_size_is_made_again(params: RenderParams) -> None:
    render(params)
    before = contents(params)
    changed = tracks_of()
    changed.expression[3] = 0.5
    changed.save(params.tracks)
    assert render(params).rendered == 1
    after = contents(params)
    assert [n for n in after if after[n] != before[n]] == [frame_name(4)]
    assert render(replace(params, seed=1)).rendered == FRAMES
    assert render(replace(params, seed=1, size=512)).rendered == FRAMES


def test_emotion_alone_changes_the_picture(params: RenderParams) -> None:
    render(params)
    calm = contents(params)
    tracks_of(emotion=5).save(params.tracks)
    render(params)
    assert all(happy != calm[name] for name, happy in contents(params).items())


def test_a_ledger_that_is_no_ledger_keeps_nothing(params: RenderParams) -> None:
    render(params)
    (Path(params.output) / LEDGER).write_text('["no", "ledger"]')
    assert render(params).rendered == FRAMES


def test_cancel_stops_and_finished_frames_count(params: RenderParams) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        render(params, stop)
    assert not list(Path(params.output).glob("*.part"))
    assert not [t for t in threading.enumerate() if t.name.startswith(("picturing", "writing"))]
    result = render(params)
    assert result.kept == 2
    assert len(contents(params)) == FRAMES


@pytest.mark.parametrize("frames", [(1, FRAMES + 1), (0, 2), (3, 2), (-1, -1)])
def test_frames_that_are_not_there(params: RenderParams, frames: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=f"1-{FRAMES}") as error:
        render(replace(params, frames=frames))
    assert error.value.code == ExitCode.BAD_INPUT
    assert not Path(params.output).exists()


def test_wrong_size_tracks_and_avatar(params: RenderParams, tmp_path: Path) -> None:
    for wrong, code in (
        (replace(params, size=300), ExitCode.BAD_INPUT),
        (replace(params, tracks=str(tmp_path / "none.npz")), ExitCode.BAD_INPUT),
        (replace(params, avatar="nobody"), ExitCode.MISSING),
    ):
        with pytest.raises(UserError) as error:
            render(wrong)
        assert error.value.code == code
    assert not Path(params.output).exists()


def test_tracks_without_frames(params: RenderParams) -> None:
    tracks_of(0).save(params.tracks)
    with pytest.raises(UserError, match="no frames"):
        render(params)


def test_the_disk_fills_up(params: RenderParams, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if frame_name(3) in self.name:
            write(self, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left") as error:
        render(params)
    assert error.value.code == ExitCode.BAD_INPUT
    left = {p.name for p in Path(params.output).iterdir()}
    assert not [name for name in left if name.endswith(".part")]
    assert frame_name(3) not in left
    monkeypatch.undo()
    assert render(params).kept == 2


def test_an_output_that_is_a_file(params: RenderParams) -> None:
    Path(params.output).write_text("mine")
    with pytest.raises(UserError) as error:
        render(params)
    assert error.value.code == ExitCode.BAD_INPUT
    assert Path(params.output).read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(params: RenderParams) -> None:
    place = Path(params.output)
    place.mkdir()
    place.chmod(0o500)
    with pytest.raises(UserError):
        render(params)
    assert list(place.iterdir()) == []


def test_memory_is_bounded(params: RenderParams, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks_of(90).save(params.tracks)
    waiting, most = 0, 0
    lock = threading.Lock()
    pictures, write = module.Studio.pictures, module._write

    def counted(*args: object) -> object:
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)
        return pictures(*args)  # type: ignore[arg-type]

    def finished(*args: object) -> str:
        nonlocal waiting
        done = write(*args)  # type: ignore[arg-type]
        with lock:
            waiting -= 1
        return done

    monkeypatch.setattr(module.Studio, "pictures", counted)
    monkeypatch.setattr(module, "_write", finished)
    render(params)
    assert waiting == 0
    engine = module.studio(find(params.avatar)).engine
    threads = engine.lanes + min(module.WRITERS, os.cpu_count() or 1)
    assert most <= (module.AHEAD + 1) * threads + 2 < 90


class Cramped:
    """An engine whose memory holds so many frames."""

    name, canvas, lanes, threads = "cramped", torch.device("cpu"), 1, 1

    def __init__(self, room: int, batch: int) -> None:
        self.room, self.batch, self.asked = room, batch, [0]

    def pictures(self, seen: Conditioning, emotion: torch.Tensor, *look_and_variety: torch.Tensor) -> object:
        assert len(emotion) == self.batch, "a graph has a fixed batch"
        self.asked.append(len(emotion))
        if len(emotion) > self.room:
            raise torch.OutOfMemoryError("no room")
        level = (emotion.argmax(1) * 10).to(torch.uint8)
        return level[:, None, None, None].expand(-1, 32, 32, 3).numpy()

    def shrink(self) -> None:
        self.batch //= 2


@pytest.fixture
def cramped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], Cramped]]:
    def use(room: int, batch: int) -> Cramped:
        engine = Cramped(room, batch)
        module._kept.clear()
        monkeypatch.setattr(module, "choose", lambda network, device: engine)
        return engine

    yield use
    module._kept.clear()


def test_a_batch_halves_where_memory_runs_out(
    params: RenderParams, cramped: Callable[[int, int], Cramped]
) -> None:
    engine = cramped(2, 8)
    assert render(params).rendered == FRAMES
    assert engine.asked == [0, 8, 4, *[2] * math.ceil(FRAMES / 2)]
    assert len(contents(params)) == FRAMES


@pytest.mark.parametrize("room", [1, 2])
def test_batches_that_were_planned_before_memory_ran_out(
    room: int, params: RenderParams, cramped: Callable[[int, int], Cramped]
) -> None:
    alone = cramped(4, 4)
    assert render(params).rendered == FRAMES
    assert set(alone.asked) == {0, 4}
    whole = contents(params)
    engine = cramped(room, 4)
    assert render(replace(params, overwrite=True)).rendered == FRAMES
    assert engine.batch == room
    assert contents(params) == whole


def test_one_frame_too_large_for_the_memory(
    params: RenderParams, cramped: Callable[[int, int], Cramped]
) -> None:
    cramped(0, 4)
    with pytest.raises(torch.OutOfMemoryError) as error:
        render(params)
    known = as_user_error(error.value)
    assert known is not None
    assert known.code == ExitCode.DEVICE
    assert contents(params) == {}


def test_a_device_that_is_not_there(params: RenderParams) -> None:
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(UserError, match=absent) as error:
        render(replace(params, device=absent))
    assert error.value.code == ExitCode.DEVICE
    assert contents(params) == {}
