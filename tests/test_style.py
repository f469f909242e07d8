"""How the code reads: what a tool of the check does not see."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("graph", "embeddings", "recall", "ranking", "api")


def configs(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """What a user sets: `…Config`, `…Settings` and `…Use` classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "Settings", "Use")):
            yield node


def undocumented(config: ast.ClassDef) -> list[str]:
    """The fields without a text right under them."""
    missing = []
    for field, after in zip(config.body, [*config.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or ast.unparse(field.annotation).startswith("ClassVar"):
            continue
        value = after.value if isinstance(after, ast.Expr) else None
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.strip()):
            missing.append(f"{config.name}.{ast.unparse(field.target)}")
    return missing


@pytest.mark.parametrize("package", PACKAGES)
def test_every_field_of_a_config_says_what_it_is(package: str) -> None:
    missing, seen = [], 0
    for file in sorted((ROOT / package).rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        found = list(configs(ast.parse(file.read_text(encoding="utf-8"))))
        seen += len(found)
        missing += [f"{name}: {field}" for config in found for field in undocumented(config)]
    assert seen
    assert missing == []


def test_a_field_without_a_text_under_it_is_named() -> None:
    source = (
        'class SomeConfig:\n    """Of no use."""\n    a: int = 1\n    """Of use."""\n    b: int = 2\n    c: int = 3\n'
    )
    assert [undocumented(config) for config in configs(ast.parse(source))] == [["SomeConfig.b", "SomeConfig.c"]]
