import asyncio
from typing import Any

import pytest

from api.keys import ROLES, Key, digest
from api.security import Guard, check_exposure
from graph.errors import SettingsError


async def welcome(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def key(text: str) -> Key:
    return Key("mine", frozenset(ROLES), digest(text.encode()))


def status(keys: list[str], **headers: str) -> int:
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        told.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    guard = Guard(welcome, [key(text) for text in keys])
    asyncio.run(guard({"type": "http", "path": "/v1/x", "headers": raw}, receive, send))
    return int(told[0]["status"])


def test_an_empty_key_opens_nothing_even_if_its_hash_is_known() -> None:
    assert status([""]) == 401
    assert status([""], authorization="Bearer ") == 401
    assert status(["", "a long enough key"], authorization="Bearer a long enough key") == 200


def test_the_hash_of_a_key_is_no_key() -> None:
    assert status(["a long enough key"], authorization=f"Bearer {key('a long enough key').digest.hex()}") == 401


def test_other_machines_are_not_served_without_keys() -> None:
    with pytest.raises(SettingsError, match=r"set api\.keys first"):
        check_exposure("0.0.0.0", [])
    check_exposure("127.0.0.1", [])
    check_exposure("0.0.0.0", [key("a long enough key")])
