# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that turn public corpora into training material for the expression generator."""
