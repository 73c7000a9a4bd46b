# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that a reviewer would otherwise have to remember."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    p
    for folder in ("core", "gmtalker_addon", "installer", "tests")
    for p in sorted((ROOT / folder).rglob("*.py"))
] + [ROOT / "__init__.py"]
UNSAFE = {"pickle", "cPickle", "shelve", "marshal", "dill", "joblib"}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(dotted name, node) of every call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def unsafe_uses(source: str) -> list[str]:
    """Imports and calls that could run code found in a data file."""
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [n for n in names if n.split(".")[0] in UNSAFE]
    for name, call in calls(tree):
        pickled = any(
            k.arg == "allow_pickle"
            and not (isinstance(k.value, ast.Constant) and not k.value.value)
            for k in call.keywords
        )
        if pickled or name in {"torch.load", "eval", "exec"}:
            found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_keeps_the_house_rules(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.startswith("# SPDX-License-Identifier: GPL-3.0-or-later\n")
    assert source.count("\n") <= 500, "split it by purpose"
    assert unsafe_uses(source) == []


@pytest.mark.parametrize(
    "planted",
    ["import pickle", "from pickle import loads", "np.load(f, allow_pickle=True)", "torch.load(f)"],
)
def test_a_planted_pickle_is_seen(planted: str) -> None:
    assert unsafe_uses(planted)
