# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: audio to face tracks, face tracks to frames. No ``bpy`` module use."""
