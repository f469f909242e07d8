"""Rules that hold for the whole house."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("graph", "embeddings", "recall", "ranking", "api")
LOCKS = ("main.txt", "torch.txt", "torch-cpu.txt")


def test_imports_point_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_no_locked_distribution_ships_a_package_of_ours() -> None:
    taken = {
        f"{found.name}: {file}"
        for found in distributions()
        if found.name != "segue-recommender"
        for file in found.files or []
        if file.parts[0].removesuffix(".py") in PACKAGES
    }
    assert taken == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_host(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    for word in ("http:", "https:", "index-url", "find-links", "trusted-host", " @ ", "git+"):
        assert word not in text, word


@pytest.mark.parametrize("lock", ["main.txt", "torch.txt"])
def test_every_line_of_a_lock_is_pinned_with_hashes(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) > 10
    for line in lines:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ;.*?)? +(--hash=sha256:[0-9a-f]{64}\s*)+$", line), line


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_knows_the_machine_it_was_written_on(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert str(ROOT) not in text, file
        assert not re.search(r"/(home|root|Users)/\w", text), file


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("pytest.skip()", 1, "skipped without a reason"),
        ("pytest.skip('there is no Neo4j')", 0, "1 skipped"),
        ("pytest.xfail('known')", 0, "1 xfailed"),
        ("assert True", 0, "1 passed"),
    ],
)
def test_a_skip_without_a_reason_fails(tmp_path: Path, body: str, status: int, said: str) -> None:
    (tmp_path / "test_it.py").write_text(f"import pytest\n\ndef test_it():\n    {body}\n")
    plugin = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")}
    command = [sys.executable, "-m", "pytest", "-p", "skips", "-q", "--rootdir", str(tmp_path), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=plugin, cwd=tmp_path, check=False)
    assert (ran.returncode, said in ran.stdout) == (status, True), ran.stdout
