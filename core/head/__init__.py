# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head: its model (numpy only) and the script that fits it."""
