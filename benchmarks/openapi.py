"""20,000 generated requests against a running `segue serve`: does it do what its OpenAPI schema says.

Schemathesis makes half of them by the schema and half against it, and checks each answer: no server error, a declared
status and media type, a body as declared, and, where the request fits the schema, no refusal. The service is real, with
the graph and the release of a demo world, or of the settings file that SEGUE_CONFIG names; it works on a copy. JSON
Schema cannot say Cypher: a query that fits is one of `QUERIES`, with time enough. Starting a refresh is left out, as
each would take a minute. `ours` is how many answers a check found wrong, `peer` the bar.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from benchmarks._service import State, made_state, serving, until
from graph.errors import InvalidInput
from graph.store import embedded

CASES: Final = 20_000
SKIPPED: Final = "/v1/jobs/refresh"
QUERY: Final = "/v1/graph/query"
QUERIES: Final = (
    "MATCH (s:Song)-[:PERFORMED_BY]->(a:Artist) RETURN a.name AS artist, count(*) AS songs LIMIT 5",
    "MATCH (u:User)-[f:FOLLOWS]->(o:User) RETURN u, f, o LIMIT 3",
    "RETURN $x AS x",
    "RETURN 1 / 3.0 AS third, null AS nothing, [1, 2] AS list",
)
TOLD: Final = 3
"""Wrong answers of each check that are told."""
Row = dict[str, Any]


def run(cases: int = CASES) -> list[Row]:
    """Rows as `segue bench` prints them; `cases` requests or some more.

    Raises: InvalidInput if schemathesis is not installed.
    """
    with made_state() as state, tempfile.TemporaryDirectory(prefix="segue-openapi-") as there:
        mine = state.copy(Path(there))
        try:
            return _run(mine, cases)
        finally:
            embedded.stop(mine.graph)


def _run(state: State, cases: int) -> list[Row]:
    with serving(state) as service:
        until(lambda: bool(service.ask("GET", "/readyz").body["graph"] == "ready"), 120.0)
        made = Generated(f"http://127.0.0.1:{service.port}")
        asked = made.run(cases)
        faults = service.faults()
    told = f"of {sum(asked.values())}: {', '.join(f'{n} {how}' for how, n in sorted(asked.items()))}"
    rows = [
        {
            "what": what,
            "ours": len(made.wrong[name]),
            "peer": 0,
            "peer_name": "at most",
            "ratio": None,
            "unit": "answers",
            "ours_quality": "; ".join(made.wrong[name][:TOLD]) or told,
            "peer_quality": "MISSED" if made.wrong[name] else "met",
        }
        for name, what in CHECKS.items()
    ]
    logged = {"what": "faults in the service's log", "ours": len(faults), "unit": "lines"}
    return [*rows, rows[0] | logged | {"ours_quality": "; ".join(faults[:TOLD]), "peer_quality": ""}]


CHECKS: Final = {
    "not_a_server_error": "server errors",
    "status_code_conformance": "undeclared statuses",
    "content_type_conformance": "undeclared media types",
    "response_schema_conformance": "bodies that are not as declared",
    "positive_data_acceptance": "requests refused that fit the schema",
}


class Generated:
    """Generated requests to the service at an address, and which of its answers are `wrong` by each check."""

    def __init__(self, address: str) -> None:
        try:
            import schemathesis
        except ImportError as error:
            raise InvalidInput("needs schemathesis: pip install segue-recommender[dev]") from error
        logging.getLogger("schemathesis").setLevel(logging.ERROR)
        self.wrong: dict[str, list[str]] = {name: [] for name in CHECKS}
        self._schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        self._checks = _checks()

    def run(self, cases: int) -> Counter[str]:
        """Ask `cases` times or some more: how many requests fitted the schema, and how many did not. Ctrl-C ends it."""
        from hypothesis.errors import Unsatisfiable
        from schemathesis import GenerationMode

        modes = {"that fit": GenerationMode.POSITIVE, "that do not": GenerationMode.NEGATIVE}
        asked: Counter[str] = Counter()
        seed = 0
        with suppress(KeyboardInterrupt):
            while sum(asked.values()) < cases:
                left = cases - sum(asked.values())
                operations = list(self._operations(seed))
                each = max(-(-left // (2 * len(operations))), 2)
                for operation in operations:
                    for how, mode in modes.items():
                        with suppress(Unsatisfiable):  # where nothing is asked for, nothing can be got wrong
                            asked[how] += self._ask(operation, mode, each, seed)
                seed += 1
        return asked

    def _operations(self, seed: int) -> Iterator[Any]:
        """Those that can be asked; after the first time those that take something."""
        for result in self._schema.get_all_operations():
            operation = result.ok()
            takes = operation.body or operation.path_parameters or operation.query
            if operation.path != SKIPPED and (takes or not seed):
                yield operation

    def _ask(self, operation: Any, mode: Any, examples: int, seed: int) -> int:
        import hypothesis
        from schemathesis import GenerationMode

        count = 0

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            nonlocal count
            count += 1
            if case.path == QUERY and mode == GenerationMode.POSITIVE:
                case.body = case.body | {"query": QUERIES[count % len(QUERIES)], "timeout_s": 20}
                case.body["parameters"] = case.body.get("parameters", {}) | {"x": count}
            self._check(case, case.call())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask()
        return count

    def _check(self, case: Any, answer: Any) -> None:
        if self._failure(case, answer, list(self._checks.values())) is None:
            return
        for name, check in self._checks.items():
            if (error := self._failure(case, answer, [check])) is not None:
                sent = f"{case.method} {case.formatted_path} {case.query or ''!s} {case.body!r}"
                reasons = " ".join(str(inner) for inner in getattr(error, "exceptions", [error]))
                said = f"{answer.status_code} {answer.text[:300]}"
                self.wrong[name].append(f"{' '.join(sent.split())[:300]} -> {said} ({' '.join(reasons.split())[:200]})")

    @staticmethod
    def _failure(case: Any, answer: Any, checks: list[Any]) -> BaseException | None:
        try:
            case.validate_response(answer, checks=checks)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  every kind of failure is one of these checks
            return error
        return None


def _checks() -> dict[str, Callable[..., Any]]:
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as openapi

    return {name: getattr(openapi, name, None) or getattr(checks, name) for name in CHECKS}
