# SPDX-License-Identifier: GPL-3.0-or-later
"""From footage of a person to the render set that the person's avatar is trained on."""
