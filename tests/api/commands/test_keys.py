"""`segue keys`."""

import hashlib
import re
import tomllib

import pytest


def test_a_new_key_is_shown_once_and_its_entry_fits_the_settings(run_cli, tmp_path):
    made = run_cli("keys", "new", "--role", "read", "--role", "events", "--name", "player")
    key = re.search(r"segue_\S{43}$", made.out, re.MULTILINE).group()
    line = made.out.splitlines()[-1]
    assert tomllib.loads(f"keys = [{line}]")["keys"] == [
        {"name": "player", "roles": ["read", "events"], "sha256": hashlib.sha256(key.encode()).hexdigest()}
    ]
    assert made.out.count(key) == 1
    file = tmp_path / "segue.toml"
    file.write_text(f"[api]\nkeys = [\n{line}\n]", encoding="utf-8")
    shown = run_cli("--config", str(file), "settings", "--json").json["api"]["keys"]
    assert shown == [{"name": "player", "roles": ["read", "events"], "sha256": "**********"}]


def test_a_key_as_json(run_cli):
    made = run_cli("keys", "new", "--role", "operate", "--json").json
    assert made.keys() == {"key", "entry", "toml"}
    assert made["entry"]["name"] == "operate"
    assert tomllib.loads(f"keys = [{made['toml']}]")["keys"] == [made["entry"]]


def test_no_two_keys_are_alike(run_cli):
    assert len({run_cli("keys", "new", "--role", "read", "--json").json["key"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--role", "reed"], "unknown role 'reed' (known: read, events, catalogue, operate)"),
        ([], "Missing option '--role'"),
        (["--role", "read", "--name", "my key"], "name: String should match"),
    ],
)
def test_a_wrong_key_is_the_caller_s_mistake(run_cli, args, said):
    ran = run_cli("keys", "new", *args)
    assert (ran.status, said in ran.err) == (2, True), ran.err
