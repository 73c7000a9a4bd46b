# SPDX-License-Identifier: GPL-3.0-or-later
"""Set-up, demonstration and test run. Standard library only; runs under any Python 3.9 or newer."""
