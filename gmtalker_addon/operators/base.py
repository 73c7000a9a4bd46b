# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators share: reasons, reports, and the two ways to run a task."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import bpy

from ...core.errors import Cancelled, UserError
from ..session import session

if TYPE_CHECKING:
    from ..session import Task

TICK = 0.1
"""Seconds between two looks at the engine."""


class Reasoned:
    """Disabled with a reason."""

    @staticmethod
    def reason(context: bpy.types.Context) -> str:
        return ""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = cls.reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason


class Direct(Reasoned):
    """An operator that is done at once; ``act`` returns what to say."""

    def act(self, context: bpy.types.Context) -> str:
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            message = self.act(context)
        except UserError as error:
            session.say(str(error), failed=True)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if message:
            session.say(message)
            self.report({"INFO"}, message)
        return {"FINISHED"}


class LongRunning(Reasoned):
    """An operator whose task runs in another process.

    From a button it returns at once, and :func:`watch` brings the result; called from a script, or
    without a window, where timers do not fire, it blocks.
    """

    def task(self, context: bpy.types.Context) -> Task:
        raise NotImplementedError

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            session.start(self.task(context))
        except UserError as error:
            return self._failed(error)
        if not bpy.app.timers.is_registered(watch):
            bpy.app.timers.register(watch, first_interval=TICK, persistent=True)
        _redraw(context)
        return {"INTERFACE"}  # handled, but not done yet: Blender makes no undo step of it

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.report({"INFO"}, session.run(self.task(context)))
        except UserError as error:
            return self._failed(error)
        except Cancelled:
            self.report({"WARNING"}, session.message)
            return {"CANCELLED"}
        return {"FINISHED"}

    def _failed(self, error: UserError) -> set[str]:
        session.say(str(error), failed=True)
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}


def watch() -> float | None:
    """The timer of a running job; brings its result into the scene, as one undo step.

    No modal operator, since Blender skips its auto-saves while one runs.
    """
    context, task = bpy.context, session.task
    if task is None:  # given up for another file
        return None
    if _hands_full(context):
        return TICK
    message = None
    try:
        message = session.poll()
    except (UserError, Cancelled):
        pass  # the session tells
    finally:
        if not session.busy:
            _conclude(context, task, changed=message is not None and task.undoable)
        _redraw(context)
    return TICK if session.busy else None


def _hands_full(context: bpy.types.Context) -> bool:
    """Whether the artist is amid a stroke or a transform, which an undo step would cut in two."""
    running = (one for window in context.window_manager.windows for one in window.modal_operators)
    return any(one.bl_options & {"BLOCKING", "UNDO"} for one in running)


def _conclude(context: bpy.types.Context, task: Task, *, changed: bool) -> None:
    with context.temp_override(window=context.window_manager.windows[0]):  # a timer has none
        if changed:
            # In a mesh's edit mode a step holds the whole file only if data-blocks came or went.
            bpy.data.texts.remove(bpy.data.texts.new(task.title))
            bpy.ops.ed.undo_push(message=task.title)
        if session.failed:
            _pop_up(context, task.title, session.message)


def _pop_up(context: bpy.types.Context, title: str, text: str) -> None:
    """Show an error where the artist works, who may have closed our panel."""

    def draw(menu: bpy.types.UIPopupMenu, context: bpy.types.Context) -> None:
        for line in textwrap.wrap(text, 80):
            menu.layout.label(text=line)

    context.window_manager.popup_menu(draw, title=title, icon="ERROR")


@bpy.app.handlers.persistent
def abandon(*_: object) -> None:
    """Give the running job up, or the last message: their file has been replaced by another."""
    if session.busy:
        session.abandon()
    else:
        session.say("")


def _redraw(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "PREFERENCES", "SEQUENCE_EDITOR"}:
                area.tag_redraw()


def character_of(context: bpy.types.Context) -> bpy.types.Object:
    return context.scene.gmtalker.character
