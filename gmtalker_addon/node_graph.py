# SPDX-License-Identifier: GPL-3.0-or-later
"""A small writer of shader node trees: inputs by name, numbers or other nodes' sockets alike."""

from __future__ import annotations

from typing import Any

import bpy

Value = Any
"""A number, a colour, a vector, or an output socket."""


class Graph:
    """Adds and links nodes of one tree; every method gives an output socket or a node."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree
        tree.nodes.clear()

    def node(self, kind: str, inputs: dict[str | int, Value] | None = None, **settings: Any):
        """Add a node; `inputs` by socket name or number, `settings` are its properties."""
        node = self.tree.nodes.new(kind)
        node.location.x = 180 * len(self.tree.nodes)
        for name, value in settings.items():
            setattr(node, name, value)
        for key, value in (inputs or {}).items():
            self.set(node.inputs[key], value)
        return node

    def set(self, socket: bpy.types.NodeSocket, value: Value) -> None:
        """Link a socket, or set its unlinked value."""
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
            return
        if hasattr(socket.default_value, "__len__") and len(socket.default_value) == 4:
            value = (*value[:3], 1.0)
        socket.default_value = value

    def attribute(self, name: str, kind: str = "GEOMETRY"):
        """An attribute node: of the geometry, or a custom property of the object."""
        return self.node("ShaderNodeAttribute", attribute_name=name, attribute_type=kind)

    def math(self, operation: str, a: Value, b: Value = 0.0, c: Value = 0.0, clamp: bool = False):
        """A scalar operation."""
        node = self.node("ShaderNodeMath", {0: a, 1: b, 2: c}, operation=operation, use_clamp=clamp)
        return node.outputs[0]

    def smooth(self, value: Value, low: float, high: float):
        """0 below `low`, 1 above `high`, a smooth step between (falling when low > high)."""
        span = {1: low, 2: high} if low < high else {1: high, 2: low, 3: 1.0, 4: 0.0}
        node = self.node(
            "ShaderNodeMapRange", {0: value, **span}, interpolation_type="SMOOTHSTEP"
        )
        return node.outputs[0]

    def mix(self, share: Value, a: Value, b: Value, blend: str = "MIX"):
        """Two colours."""
        node = self.node("ShaderNodeMix", data_type="RGBA", blend_type=blend)
        factor, first, second = (s for s in node.inputs if s.enabled)
        for socket, value in ((factor, share), (first, a), (second, b)):
            self.set(socket, value)
        return next(s for s in node.outputs if s.enabled)

    def noise(self, vector: Value, scale: float, detail: float = 3.0):
        """Fractal noise about 0.5."""
        inputs = {"Vector": vector, "Scale": scale, "Detail": detail}
        return self.node("ShaderNodeTexNoise", inputs).outputs[0]

    def cells(self, vector: Value, scale: float):
        """A cell texture's node (outputs: distance to the nearest point, colour, point)."""
        return self.node("ShaderNodeTexVoronoi", {"Vector": vector, "Scale": scale})

    def output(self, shader: Value) -> None:
        """End the tree."""
        self.node("ShaderNodeOutputMaterial", {0: shader})
