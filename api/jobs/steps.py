"""A line of steps that is resumable because each step knows the fingerprint of what it was made from.

A step is a function of its inputs, its settings and the seed to files in `.building`. When it is done its fingerprint
is written down; a step whose fingerprint has not changed since, in `.building` or in the release that is served, is
skipped and its files are kept or linked. Resuming after a kill, `--only` and an unchanged nightly run are all this.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.files import fingerprint, write_text
from graph.release import MANIFEST, STATE


@dataclass(frozen=True)
class Step:
    """`run` writes into `folders` of a build, or files of their names, and returns its notes (metrics, counts);
    `depends` is JSON that, with the seed and what came before, decides whether it has to run again."""

    name: str
    folders: Sequence[str]
    depends: Any
    run: Callable[[Build], Mapping[str, Any]]


class Build:
    """The release under construction and what is known of its steps.

    `state` maps a step to `{fingerprint, notes}`; it survives a kill because it is replaced at once after each step.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            kept = json.loads((folder / STATE).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            kept = {}
        parts = [kept.get(name) if isinstance(kept, dict) else None for name in ("plan", "steps")]
        plan, state = (part if isinstance(part, dict) else {} for part in parts)
        self.plan: dict[str, Any] = plan
        self.state: dict[str, dict[str, Any]] = state

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Note what this run is made from; what is known of the steps stays.

        A manifest that a kill left while the build was being sealed goes: it tells of files that may change now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        self.plan = dict(plan)
        self._save()

    def notes(self, step: str) -> dict[str, Any]:
        """What a step found out (metrics, counts), kept with its fingerprint."""
        notes: dict[str, Any] = self.state.get(step, {}).get("notes", {})
        return notes

    def fresh(self, step: str, step_fingerprint: str) -> bool:
        """Whether the step's files in this build were made from exactly this."""
        return self.state.get(step, {}).get("fingerprint") == step_fingerprint

    def adopt(self, step: Step, step_fingerprint: str, release: Path | None, manifest: Mapping[str, Any]) -> bool:
        """Link a step's files from a sealed release if it was made from exactly this; whether it was."""
        known = manifest.get("steps", {}).get(step.name, {})
        if release is None or known.get("fingerprint") != step_fingerprint:
            return False
        self.clear(step)
        for name in manifest["files"]:
            if any(name.startswith((f"{folder}/", f"{folder}.")) for folder in step.folders):
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(release / name, target)
        self.finish(step.name, step_fingerprint, known.get("notes", {}))
        return True

    def clear(self, step: Step) -> None:
        """Remove what an earlier, unfinished or outdated run of the step left."""
        if self.state.pop(step.name, None) is not None:
            self._save()
        for folder in step.folders:
            path = self.folder / folder
            shutil.rmtree(path, ignore_errors=True)
            for file in path.parent.glob(f"{path.name}.*"):
                file.unlink()

    def finish(self, step: str, step_fingerprint: str, notes: Mapping[str, Any]) -> None:
        """Write down that a step is done, after its files are."""
        self.state[step] = {"fingerprint": step_fingerprint, "notes": dict(notes)}
        self._save()

    def _save(self) -> None:
        write_text(self.folder / STATE, json.dumps({"plan": self.plan, "steps": self.state}, sort_keys=True))


def chain(before: str, step: Step, seed: int, code: str) -> str:
    """Fingerprint of a step: of what came before it, its settings, the seed and the version of the code."""
    return fingerprint([before, step.name, step.depends, seed, code])
