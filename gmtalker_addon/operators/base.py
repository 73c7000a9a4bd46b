# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operators share: reasons, reports, and the two ways to run a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    From a button it is modal; called from a script, or without a window, where timers do not
    fire, it blocks.
    """

    _timer: Any = None

    def task(self, context: bpy.types.Context) -> Task:
        raise NotImplementedError

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            session.start(self.task(context))
        except UserError as error:
            return self._failed(context, error)
        manager = context.window_manager
        self._timer = manager.event_timer_add(TICK, window=context.window)
        manager.modal_handler_add(self)
        _redraw(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        if not session.busy:  # the add-on was switched off and on again
            return self._leave(context, {"CANCELLED"})
        try:
            message = session.poll()
        except UserError as error:
            return self._leave(context, self._failed(context, error))
        except Cancelled:
            return self._leave(context, {"CANCELLED"})
        except BaseException:
            self._leave(context, set())
            raise
        _redraw(context)
        if message is None:
            return {"PASS_THROUGH"}
        self.report({"INFO"}, message)
        return self._leave(context, {"FINISHED"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.report({"INFO"}, session.run(self.task(context)))
        except UserError as error:
            return self._failed(context, error)
        except Cancelled:
            self.report({"WARNING"}, session.message)
            return {"CANCELLED"}
        return {"FINISHED"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender takes the operator away: another file is loaded, or the window closes."""
        session.abandon()
        self._leave(context, set())

    def _failed(self, context: bpy.types.Context, error: UserError) -> set[str]:
        session.say(str(error), failed=True)
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}

    def _leave(self, context: bpy.types.Context, status: set[str]) -> set[str]:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        _redraw(context)
        return status


def _redraw(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "PREFERENCES", "SEQUENCE_EDITOR"}:
                area.tag_redraw()


def character_of(context: bpy.types.Context) -> bpy.types.Object:
    return context.scene.gmtalker.character
