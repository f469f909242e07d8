"""A service that is asked queries no engine can answer: they are refused, and everybody else is served meanwhile."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

DOUBLING = "RETURN reduce(s='', x IN range(1,30) | s+s+'aaaa') AS s"
KILLERS = [
    DOUBLING,
    "RETURN reduce(l=[1], x IN range(1,40) | l+l) AS l",
    "UNWIND range(1,100000000) AS x RETURN collect(x) AS c",
    "RETURN range(1,1000000000) AS r",
    "MATCH (a), (b), (c), (d) WHERE a.id <= d.id RETURN count(b.id) AS n",
]
# What an idle service answers in milliseconds; a machine that runs tests is not idle.
PROMPT_S = 5.0


@pytest.fixture
def asked_meanwhile(poll):
    """Polls a service with small queries and recommendations: (seconds, status) of each."""

    def start(server):
        def ask():
            with httpx.Client(base_url=server.address, timeout=60) as client:
                began = time.monotonic()
                song = client.post("/v1/graph/query", json={"query": "MATCH (s:Song) RETURN count(s) AS n"})
                slate = client.post("/v1/recommend", json={"user_id": "u0"})
                return time.monotonic() - began, (song.status_code, slate.status_code)

        return poll(ask)

    return start


def test_queries_that_would_exhaust_the_engine_are_problems_and_hold_nobody_up(house, asked_meanwhile):
    with house.serve() as server:
        assert server.post("/v1/graph/query", {"query": "MATCH (s:Song) RETURN count(s) AS n"}).status_code == 200
        owner = (house.graph / "server.json").read_text()
        with asked_meanwhile(server) as small:
            for killer in [DOUBLING] * 3 + KILLERS:
                start = time.monotonic()
                answer = server.post("/v1/graph/query", {"query": killer, "timeout_s": 5})
                assert time.monotonic() - start < 5 + PROMPT_S
                assert answer.status_code in (400, 504), answer.text
                assert answer.headers["content-type"] == "application/problem+json"
        assert (house.graph / "server.json").read_text() == owner
        assert {status for _, status in small.answers} == {(200, 200)}
        assert max(seconds for seconds, _ in small.answers) < PROMPT_S


def test_a_query_short_of_memory_says_so(house):
    with house.serve() as server:
        answer = server.post("/v1/graph/query", {"query": DOUBLING, "timeout_s": 60}).json()
    assert (answer["status"], answer["title"]) == (400, "Query too large")
    assert "graph.query_heap" in answer["detail"]


def test_more_queries_than_a_worker_takes_are_refused_at_once(house):
    def ask(address, answers):
        body = {
            "query": "RETURN reduce(n=0, x IN range(1,100000) | n + size([y IN range(1,9999) | y])) AS n",
            "timeout_s": 8,
        }
        with httpx.Client(base_url=address, timeout=60) as client:
            answers.append(client.post("/v1/graph/query", json=body).status_code)

    with house.serve() as server:
        assert server.post("/v1/graph/query", {"query": "RETURN 1 AS one"}).status_code == 200
        answers: list[int] = []
        threads = [threading.Thread(target=ask, args=(server.address, answers)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(set(answers)) == [503, 504]
        assert answers.count(504) == 16
        assert server.post("/v1/graph/query", {"query": "RETURN 1 AS one"}).status_code == 200


def test_the_command_line_says_in_one_line_that_a_query_is_too_large(house):
    ran = house.segue("cypher", DOUBLING)
    assert (ran.status, len(ran.err.splitlines())) == (2, 1), ran.err
    assert "graph.query_heap" in ran.err
