# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by the environment's own Python: which locked entries it needs, and which wheels it can use.

Usage: ``wanted.py PIP_WHEEL`` with ``[[name, marker], ...]`` on stdin. Writes
``{"wanted": [index, ...], "tags": ["cp311-cp311-...", ...]}`` (tags best first) to stdout. Markers
and tags are judged by the ``packaging`` library inside the pip wheel, as pip would.
"""

# mypy: disable-error-code="import-not-found"
# pip is in the wheel, not in any environment that is type-checked.

import json
import sys

sys.path.insert(0, sys.argv[1])

from pip._vendor.packaging.markers import Marker
from pip._vendor.packaging.tags import sys_tags

entries = json.load(sys.stdin)
wanted = [n for n, (_, marker) in enumerate(entries) if not marker or Marker(marker).evaluate()]
json.dump({"wanted": wanted, "tags": [str(tag) for tag in sys_tags()]}, sys.stdout)
