import ast
import subprocess
import sys
from pathlib import Path

import pytest

from graph.units import Family
from ranking.base import RANKERS, RERANKERS

ROOT = Path(__file__).resolve().parents[2]
UNITS = [(family, name) for family in (RANKERS, RERANKERS) for name in family.names()]


def test_rankers_and_rerankers_are_the_files_of_their_folders() -> None:
    assert "linear" in RANKERS.names()
    assert "mmr" in RERANKERS.names()


@pytest.mark.parametrize(("family", "name"), UNITS)
def test_each_field_of_a_config_has_a_docstring_of_its_own(family: Family, name: str) -> None:
    file = ROOT.joinpath(*family.package.split("."), f"{name}.py")
    config = family.unit(name).config.__name__
    body = next(n.body for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef) and n.name == config)
    for line, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign):
            assert isinstance(after, ast.Expr), ast.unparse(line)
            assert isinstance(after.value, ast.Constant), ast.unparse(line)


def test_finding_channels_and_rankers_imports_no_torch() -> None:
    code = (
        "import sys\nfrom ranking.base import RANKERS, RERANKERS\nfrom recall.discovery import channel_names\n"
        "channel_names(), [RANKERS.unit(n) for n in RANKERS.names()], [RERANKERS.unit(n) for n in RERANKERS.names()]\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
