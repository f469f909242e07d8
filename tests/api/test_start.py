"""What a command imports before it does anything."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {"numpy", "numba", "scipy", "polars", "pyarrow", "sqlalchemy", "torch", "faiss", "neo4j", "h3", "gensim"}


def imported(tmp_path, *command: str) -> set[str]:
    """The top-level packages that a command has imported when it ends."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: sys.stderr.write(json.dumps(sorted({m.split('.')[0] for m in sys.modules}))))\n"
        f"sys.argv = {['segue', *command]!r}\n"
        "from api.cli import main\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    return set(json.loads(ran.stderr))


def test_help_imports_no_library_that_computes_stores_or_logs(tmp_path) -> None:
    assert imported(tmp_path, "--help") & {*HEAVY, "structlog", "pydantic", "fastapi"} == set()


def test_a_command_that_reads_settings_and_a_folder_imports_no_library_that_computes_or_stores(tmp_path) -> None:
    assert imported(tmp_path, "release", "list", "--json") & HEAVY == set()


def test_settings_of_a_scene_are_checked_by_the_channels_that_they_name(tmp_path) -> None:
    (tmp_path / "segue.toml").write_text("[scenes.radio.channels.social]\nhops = 0")
    ran = subprocess.run(
        [sys.executable, "-m", "api", "release", "list"], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "social" in ran.stderr
