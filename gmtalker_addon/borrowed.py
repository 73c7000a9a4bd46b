# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of the user's scene that work changes for a while and gives back as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from . import blender_compat as compat

if TYPE_CHECKING:
    from collections.abc import Collection


class Borrowed:
    """A context; what it has set is set back when it is left, also by an error."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, str], tuple[Any, str, Any]] = {}

    def __enter__(self) -> Borrowed:
        return self

    def __exit__(self, *error: object) -> None:
        # In the order in which they were first set: a file format needs its kind of media.
        for owner, name, value in self._before.values():
            setattr(owner, name, value)
        self._before.clear()

    def set(self, owner: Any, **values: Any) -> None:
        """Set properties of a data-block or a part of one."""
        for name in values:
            self.keep(owner, name)
        for name, value in values.items():
            setattr(owner, name, value)

    def keep(self, owner: Any, name: str) -> None:
        """Remember a property that others will set."""
        value = getattr(owner, name)
        if hasattr(value, "__len__") and not isinstance(value, str):
            value = tuple(value)
        self._before.setdefault((owner.as_pointer(), name), (owner, name, value))

    def mute(self, owner: bpy.types.ID, driven: Collection[tuple[str, int]]) -> None:
        """Silence the F-curves and drivers of properties, so that they stay as they are set.

        Args:
            owner: a data-block.
            driven: (path, index) of its properties; index 0 for a single value.

        """
        data = owner.animation_data
        if data is None:
            return
        strips = [strip for track in data.nla_tracks for strip in track.strips]
        curves = [c for source in (data, *strips) for c in compat.assigned_curves(source)]
        for curve in (*curves, *data.drivers):
            if (curve.data_path, curve.array_index) in driven:
                self.set(curve, mute=True)
        owner.update_tag()
