"""A service that is killed while it takes events: what it acknowledged is there afterwards."""

from __future__ import annotations

import threading
import time

import httpx


def test_every_acknowledged_event_survives_a_killed_service(house):
    acknowledged: list[str] = []
    over = threading.Event()

    def post(client: httpx.Client, worker: int) -> None:
        number = 0
        while not over.is_set():
            ids = [f"k{worker}-{number}-{i}" for i in range(5)]
            events = [{"event_id": e, "user_id": f"u{worker}", "action": "search", "query": "x"} for e in ids]
            try:
                answer = client.post("/v1/events", json=events)
            except httpx.TransportError:
                return
            assert answer.json()["accepted"] == 5
            acknowledged.extend(ids)
            number += 1

    with (
        house.serve() as server,
        httpx.Client(base_url=server.address) as a,
        httpx.Client(base_url=server.address) as b,
    ):
        threads = [threading.Thread(target=post, args=(client, n)) for n, client in enumerate((a, b))]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        server.kill()
        over.set()
        for thread in threads:
            thread.join(30)
    assert len(acknowledged) > 50
    with house.serve() as server:
        assert server.post("/v1/recommend", {"user_id": "u0"}).status_code == 200
        with house.log() as log:
            found = log.frame()
    assert set(acknowledged) <= set(found["event_id"])
    assert found["offset"].to_list() == list(range(1, len(found) + 1))
