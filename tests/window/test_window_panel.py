# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel in the real window: drawn, its buttons pressed by a real click."""

from __future__ import annotations

import os
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import SIZE, Application, Session

PICTURES = os.environ.get("GMTALKER_PICTURES")
"""Where to keep the screenshots, when someone wants to look at them."""
BUTTON, SHARE, TALL = 84, 0.4, 24
"""The grey of a button that can be pressed; at least so much of the sidebar's width, and so high."""
IDLE, BUSY = "ops.gmtalker.generate", "ops.gmtalker.cancel"
START = {"what": "call", "path": IDLE, "how": "INVOKE_DEFAULT"}
"""What a click on Generate does."""


def keep(session: Session, name: str) -> None:
    if PICTURES:
        time.sleep(2)  # the panels glide to their places
        session.screen.save(Path(PICTURES) / f"{name}.png")


def big_buttons(session: Session, rectangle: list[int], tall: int = TALL) -> list[tuple[int, int]]:
    """Centres (from the lower left corner) of the wide, tall buttons that can be pressed, top first."""
    x, y, width, height = rectangle
    picture = session.screen.picture()[SIZE[1] - y - height : SIZE[1] - y, x : x + width]
    plain = (np.abs(picture.astype(int) - BUTTON) <= 3).all(2)
    rows = np.flatnonzero(plain.sum(1) > SHARE * width)
    groups = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [(x + width // 2, y + height - int(g.mean())) for g in groups if len(g) >= tall]


def wait_for_buttons(session: Session, rectangle: list[int], count: int) -> list[tuple[int, int]]:
    """The buttons, once the panel shows so many."""
    until = time.monotonic() + 20
    while len(found := big_buttons(session, rectangle)) != count:
        assert time.monotonic() < until, f"expected {count} big buttons, got {found}"
        time.sleep(0.2)
    return found


def cancel_button(session: Session, rectangle: list[int]) -> tuple[int, int]:
    """The topmost wide button, once it is in the box above all panels."""
    until = time.monotonic() + 20
    top = rectangle[1] + rectangle[3]
    while True:
        found = big_buttons(session, rectangle, tall=14)
        if found and top - found[0][1] < 120:
            return found[0]
        assert time.monotonic() < until, f"no Cancel among {found}"
        time.sleep(0.1)


def speak(application: Application, name: str, seconds: float) -> str:
    """The sample voice, cut or repeated to a length."""
    path = application.stage / name
    with wave.open(str(application.stage / "voice.wav")) as sample:
        parameters, sound = sample.getparams(), sample.readframes(sample.getnframes())
    size = int(seconds * parameters.framerate) * parameters.sampwidth
    with wave.open(str(path), "wb") as out:
        out.setparams(parameters)
        out.writeframes((sound * (size // len(sound) + 1))[:size])
    return str(path)


@pytest.fixture
def panel(session: Session) -> list[int]:
    """The sidebar's rectangle, with our tab in front and a head in the scene."""
    session.ask("call", path="ops.gmtalker.add_head")
    session.ask("look")
    rectangle: list[int] = session.wait_for("sidebar_at", category="GMTalker")
    return rectangle


def choose(session: Session, voice: str) -> None:
    settings = "scene.gmtalker.character.gmtalker"
    session.ask("put", path=f"{settings}.output", value=str(session.folder))
    session.ask("put", path=f"{settings}.voice", value=voice)


def actions(session: Session) -> list[str]:
    return [str(name) for name in session.ask("names", path="data.actions")]


def step(session: Session, name: str) -> None:
    session.ask("call", path="ops.ed.undo_push", message=name)


def test_clicks_lead_from_a_voice_to_frames(
    session: Session, application: Application, panel: list[int]
) -> None:
    wait_for_buttons(session, panel, 0)
    assert not session.ask("possible", path=IDLE)
    keep(session, "window-start")

    choose(session, speak(application, "short voice é.wav", 1.2))
    [generate] = wait_for_buttons(session, panel, 1)
    session.click(*generate)
    session.wait_for("possible", path=IDLE, limit=180)
    assert "Baked" in str(session.ask("value", path="scene.gmtalker.status"))
    assert actions(session)
    keep(session, "window-generated")

    render = wait_for_buttons(session, panel, 2)[1]
    session.click(*render)
    session.wait_for("possible", path=BUSY, limit=20)
    session.wait_for("possible", path=IDLE, limit=240)
    frames = str(session.ask("value", path="scene.gmtalker.character.gmtalker.frames"))
    assert len(list(Path(frames).glob("frame_*.png"))) >= 28
    keep(session, "window-rendered")


def test_an_artist_works_on_during_a_job_and_undoes_its_result(
    session: Session, application: Application, panel: list[int]
) -> None:
    choose(session, speak(application, "voice.wav", 1.2))
    place = "scene.gmtalker.character.location"
    before = actions(session)
    step(session, "before")
    wait_for_buttons(session, panel, 1)
    moves = [move for x in (1, 2) for move in (
        {"what": "put", "path": place, "value": [x, 0, 0]},
        {"what": "call", "path": "ops.ed.undo_push", "message": "Move"},
    )]  # fmt: skip
    *_, modal, busy = session.ask("together", requests=[
        START, *moves, {"what": "call", "path": "ops.ed.undo"},
        {"what": "names", "path": "window.modal_operators"}, {"what": "possible", "path": BUSY},
    ])  # fmt: skip
    assert modal == []
    assert busy
    session.wait_for("possible", path=IDLE, limit=180)
    assert actions(session) != before
    session.ask("call", path="ops.ed.undo")
    assert actions(session) == before
    assert session.ask("value", path=place) == [1, 0, 0]
    session.ask("call", path="ops.ed.redo")
    assert actions(session) != before


def test_a_result_waits_for_the_end_of_a_grab(
    session: Session, application: Application, panel: list[int]
) -> None:
    choose(session, speak(application, "voice.wav", 1.2))
    before = actions(session)
    for value in ("PRESS", "RELEASE"):
        session.ask("event", type="G", value=value, x=panel[0] - 300, y=SIZE[1] // 2)
    session.wait_for("names", path="window.modal_operators", limit=10)
    session.ask(**START)
    session.wait_for("possible", path=BUSY, limit=20)
    time.sleep(12)  # more than the job needs, where it is not held up
    assert session.ask("names", path="window.modal_operators") == ["Move"]
    assert actions(session) == before
    for value in ("PRESS", "RELEASE"):
        session.ask("event", type="ESC", value=value, x=panel[0] - 300, y=SIZE[1] // 2)
    session.wait_for("possible", path=IDLE, limit=180)
    assert actions(session) != before


def test_an_error_pops_up_over_the_view(
    session: Session, application: Application, panel: list[int]
) -> None:
    choose(session, speak(application, "voice.wav", 1.2))
    wait_for_buttons(session, panel, 1)
    settings = "scene.gmtalker.character.gmtalker"

    def view() -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The middle of the 3D view, with nothing in it that tells a name."""
        return session.screen.picture()[SIZE[1] // 3 : SIZE[1] * 2 // 3, : panel[0]].copy()

    before = view()
    session.ask("together", requests=[START, *(
        {"what": "put", "path": f"{settings}.{name}", "value": value}
        for name, value in (("range_start", 9), ("range_end", 5), ("use_range", True))
    )])  # fmt: skip
    session.wait_for("possible", path=IDLE, limit=180)
    until = time.monotonic() + 30
    while (view() != before).any(2).sum() <= 5000:
        assert time.monotonic() < until, "nothing popped up"
        time.sleep(0.2)
    keep(session, "window-error")
    assert "range goes from 9 to 5" in str(session.ask("value", path="scene.gmtalker.status"))


def test_a_click_on_cancel_leaves_the_scene_as_it_was(
    session: Session, application: Application, panel: list[int]
) -> None:
    choose(session, speak(application, "long voice.wav", 600))
    before = actions(session)
    [generate] = wait_for_buttons(session, panel, 1)
    session.click(*generate)
    session.wait_for("possible", path=BUSY, limit=20)
    session.click(*cancel_button(session, panel))
    session.wait_for("possible", path=IDLE, limit=4)
    assert actions(session) == before
    assert "ancel" in str(session.ask("value", path="scene.gmtalker.status"))
    keep(session, "window-cancelled")
