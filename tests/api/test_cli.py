"""Every command: the keys of `--json`, the table for people, and the exit status (design, section 6)."""

from __future__ import annotations

import json
import subprocess
import sys

import polars as pl
import pytest

METRICS = {"recall@10", "ndcg@10", "hit_rate@10", "mrr", "coverage@10", "gini@10", "novelty@10"}


@pytest.fixture(scope="module")
def mine(refreshed, tmp_path_factory):
    """A copy of the house: what is recommended here is logged as shown, and would be in the next snapshot of others."""
    house = refreshed.copy(tmp_path_factory.mktemp("cli"))
    yield house
    house.close()


@pytest.fixture
def segue(mine, run_cli):
    """Runs a command in this process, on the house of this file."""

    def run(*args, status=0):
        ran = run_cli("--config", str(mine.config), *args)
        assert ran.status == status, ran.err or ran.out
        return ran

    return run


@pytest.fixture(scope="module")
def listener(refreshed):
    return refreshed.release.snapshot.ids["User"][4]


@pytest.fixture(scope="module")
def song(refreshed):
    return refreshed.release.snapshot.ids["Song"][2]


# ---- answers


def test_recommend(segue, listener, refreshed):
    answer = segue("recommend", listener, "--explain", "--json").json
    assert list(answer) == ["request_id", "release", "items", "trace"]
    assert answer["release"] == refreshed.releases.current()
    for item in answer["items"]:
        assert list(item) == ["song_id", "title", "artists", "score", "channels", "reasons"]
        for reason in item["reasons"]:
            assert list(reason) == ["kind", "text", "score", "path", "cypher", "parameters"]
    for stage in answer["trace"]:
        assert list(stage) == ["stage", "in", "out", "ms", "dropped"]


def test_recommend_takes_a_scene_and_a_number(segue, listener):
    assert len(segue("recommend", listener, "--scene", "daily", "--json").json["items"]) == 30
    assert len(segue("recommend", listener, "-n", "2", "--json").json["items"]) == 2


def test_recommend_takes_a_place(segue, listener, refreshed):
    point = [f"{refreshed.release.snapshot.column('Place', name)[0]:.6f}" for name in ("latitude", "longitude")]
    there = segue("recommend", listener, "--latitude", point[0], "--longitude", point[1], "--json").json["items"]
    assert sum("lbs" in {found["channel"] for found in item["channels"]} for item in there) >= 2


def test_recommend_knows_what_was_listened_to_since_the_release(house, listener):
    first = house.segue("recommend", listener, "--json").json["items"][0]["song_id"]
    with house.log() as log:
        log.append([{"user_id": listener, "action": "full_play", "song_id": first}])
    again = house.segue("recommend", listener, "--json").json
    assert first not in [item["song_id"] for item in again["items"]]


def test_recall_gives_k_of_each_channel_unmerged(segue, listener):
    answer = segue("recall", listener, "-k", "3", "--json").json
    assert list(answer) == ["release", "user_id", "candidates"]
    assert all(list(row) == ["song_id", "channel", "rank", "score"] for row in answer["candidates"])
    one = segue("recall", listener, "--channel", "popularity", "-k", "3", "--json").json["candidates"]
    assert one == [row for row in answer["candidates"] if row["channel"] == "popularity"]
    assert [row["rank"] for row in one] == [1, 2, 3]


def test_recall_report_says_what_each_channel_finds(segue):
    answer = segue("recall-report", "-k", "20", "--listeners", "50", "--json").json
    assert answer.keys() == {"release", "scene", "listeners", "k", "pool", "channels"}
    assert (answer["scene"], answer["k"]) == ("radio", 20)
    assert 0 < answer["pool"] <= 1
    found = {one["channel"]: one for one in answer["channels"]}
    assert {"popularity", "item_knn", "recent"} <= found.keys()
    fields = {"channel", "audience", "listeners", "recall", "only", "overlap", "ms", "quota", "without"}
    assert all(one.keys() == fields and 0 <= one["only"] <= answer["pool"] for one in found.values())
    assert found["attributes"]["recall"] > found["fallback"]["recall"]


def test_similar(segue, song):
    answer = segue("similar", song, "-n", "4", "--json").json
    assert list(answer) == ["release", "song_id", "by", "gamma", "items"]
    assert all(list(item) == ["song_id", "score"] for item in answer["items"])
    genre = segue("similar", song, "-n", "4", "--gamma", "HAS_GENRE=50", "--json").json
    assert genre["gamma"] == {"HAS_GENRE": 50.0}
    assert genre["items"] != answer["items"]


@pytest.mark.parametrize("label", ["Artist", "Tag", "Genre"])
def test_similar_artists_tags_and_genres(segue, refreshed, label):
    id_, kind = refreshed.release.snapshot.ids[label][0], label.lower()
    answer = segue("similar", f"--{kind}", id_, "-n", "2", "--json").json
    assert list(answer) == ["release", f"{kind}_id", "by", "gamma", "items"]
    assert all(list(item) == [f"{kind}_id", "score"] for item in answer["items"])
    assert kind in segue("similar", f"--{kind}", id_).out


def test_similar_is_asked_of_one_thing(segue, song):
    for args in ((), (song, "--artist", "a")):
        assert "expected one of SONG, --artist, --tag and --genre" in segue("similar", *args, status=2).err
    assert segue("similar", "--tag", "no such", status=2).err == "segue: unknown tag 'no such'\n"


def test_explain_gives_paths_that_cypher_shows(segue, listener):
    song = segue("recommend", listener, "-n", "1", "--json").json["items"][0]["song_id"]
    answer = segue("explain", listener, song, "--json").json
    assert list(answer) == ["release", "user_id", "song_id", "paths"]
    reason = answer["paths"][0]
    parameters = [word for name, value in reason["parameters"].items() for word in ("--param", f"{name}={value}")]
    table = segue("cypher", reason["cypher"], *parameters, "--json").json
    assert table["columns"] == ["nodes", "relationships"]
    assert [node["id"] for node in table["rows"][0][0]] == [node["id"] for node in reason["path"][::2]]


def test_explain_without_a_relationship_tells_what_becomes_of_the_song(segue, listener):
    song = segue("recommend", listener, "-n", "1", "--json").json["items"][0]["song_id"]
    path = next(r["path"] for r in segue("explain", listener, song, "--json").json["paths"] if len(r["path"]) > 1)
    without = f"{path[1]['relationship']}:{listener}:{path[2]['id']}"
    answer = segue("explain", listener, song, "--without", without, "--json").json
    assert list(answer)[4:] == ["without", "lost", "still", "recommended", "rank", "replaced_by", "note"]
    assert path in [reason["path"] for reason in answer["lost"]]
    assert answer["recommended"] == (answer["rank"] is not None)
    out = segue("explain", listener, song, "--without", without).out
    assert f"without {without}:" in out
    assert "recommended: " in out
    assert "TYPE:from_id:to_id" in segue("explain", listener, song, "--without", "LIKED", status=2).err


def test_cypher(segue, song):
    answer = segue(
        "cypher", "MATCH (s:Song {id: $id}) RETURN s AS song, 2 AS n", "--param", f"id={song}", "--json"
    ).json
    assert list(answer) == ["columns", "rows", "truncated"]
    node, two = answer["rows"][0]
    assert node.keys() == {"label", "id", "properties"}
    assert (node["label"], node["id"], two) == ("Song", song, 2)


def test_cypher_takes_json_parameters_and_limits_rows(segue):
    rows = segue("cypher", "UNWIND $xs AS x RETURN x AS x", "--param", "xs:=[1, 2, 3]", "--limit", "2", "--json").json
    assert rows == {"columns": ["x"], "rows": [[1], [2]], "truncated": True}


def test_cypher_gives_what_json_cannot_say_as_text(segue):
    big = segue("cypher", "RETURN 9007199254740993 AS big, 0.0 / 0.0 AS nan", "--json").json
    assert big["rows"] == [["9007199254740993", "nan"]]


def test_graph_stats(segue):
    answer = segue("graph", "stats", "--json").json
    assert list(answer) == ["labels", "relationships", "engine", "version"]
    assert (answer["labels"]["Song"], answer["labels"]["User"]) == (200, 60)
    assert answer["engine"] == "arcadedb"
    assert answer["relationships"]["LISTENED"] > 0


def test_release_list_show_and_verify(segue, refreshed):
    current = refreshed.releases.current()
    listed = segue("release", "list", "--json").json
    assert list(listed) == ["current", "releases"]
    assert [row["id"] for row in listed["releases"]] == [current] == [listed["current"]]
    assert all(list(row) == ["id", "as_of", "parent", "metrics", "size_bytes"] for row in listed["releases"])
    manifest = segue("release", "show", "--json").json
    assert manifest.keys() >= {"schema", "settings", "seed", "as_of", "graph", "events", "files", "metrics", "parent"}
    assert manifest["metrics"].keys() >= METRICS
    assert segue("release", "verify", "--json").json == {"release": current, "ok": True, "problems": []}


def test_releases_roll_back_differ_and_are_pruned(own_house):
    house = own_house()
    first = house.releases.current()
    house.settle(more="seed = 9", sections="[refresh]\nmargin = 0.99")
    report = house.segue("refresh", "--json").json
    assert list(report) == ["release", "parent", "published", "projected", "reason", "steps", "metrics"]
    assert all(list(step) == ["name", "status", "seconds", "fingerprint"] for step in report["steps"])
    second = report["release"]
    assert report["parent"] == first
    changed = house.segue("release", "diff", first, "--json").json
    assert (changed["old"], changed["new"], changed["same"]) == (first, second, False)
    assert changed["settings"]["seed"] == [0, 9]
    drift = changed["drift"]["song2vec"]
    assert drift["songs"] > 100
    assert 0 < drift["neighbours_kept"] < 1
    assert drift["mean_cosine"] > 0.5  # another seed, but turned into the first one's frame
    assert house.segue("release", "rollback", "--json").json == {"current": first, "before": second}
    assert house.segue("release", "prune", "--keep", "1", "--json").json == {"pruned": [], "current": first}


def test_a_damaged_release_is_found(house):
    file = next((house.releases.path(house.releases.current()) / "vectors").rglob("*.bin"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    ran = house.segue("release", "verify")
    assert ran.status == 1
    assert "differs from its checksum" in ran.err


def test_import_reports_and_keeps_the_rejects(house, tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "events.csv").write_text("user_id,action,song_id\na,play,s1\nb,dance,s2\n", encoding="utf-8")
    answer = house.segue("import", "tables", str(tables), "--dry-run", "--json").json
    keys = ["format", "path", "read", "written", "rejected", "rejects_file", "warnings", "seconds", "preview"]
    assert list(answer) == keys
    assert (answer["read"], answer["written"], answer["rejected"]) == (2, 0, 1)
    assert answer["preview"] == {
        "events": [{"user_id": "a", "action": "play", "song_id": "s1", "count": 1}],
        "songs": [],
    }
    assert "events, the first" in house.segue("import", "tables", str(tables), "--dry-run").out
    with open(answer["rejects_file"], encoding="utf-8") as file:
        assert 'events.csv,3,"action: expected one of' in file.read()
    found = house.segue("import", str(tables), "--dry-run", "--json")
    assert found.json["format"] == "tables"
    assert f"{tables} is read as tables" in " ".join(found.err.split())
    strict = house.segue("import", "tables", str(tables), "--dry-run", "--strict")
    assert strict.status == 2
    assert "events.csv line 3" in strict.err


def test_another_source_needs_merge(house, tmp_path):
    (tmp_path / "events.csv").write_text("user_id,action,song_id\na,play,s1\n", encoding="utf-8")
    refused = house.segue("import", "tables", str(tmp_path))
    assert refused.status == 2
    assert "--merge" in refused.err


def test_evaluate(segue, tmp_path):
    (tmp_path / "train.txt").write_text("0 0 1\n1 0 2\n2 0 3\n", encoding="utf-8")
    (tmp_path / "test.txt").write_text("0 2\n1 1\n2 1\n", encoding="utf-8")
    answer = segue("evaluate", "popularity", "--data", f"lightgcn:{tmp_path}", "--protocol", "given", "--json").json
    assert list(answer) == ["model", "data", "protocol", "users", "items", "metrics", "seconds", "config"]
    assert answer["users"] == 3
    assert answer["seconds"].keys() == {"fit", "score"}
    assert answer["metrics"].keys() >= METRICS


def test_recall_report_of_an_unknown_scene(segue):
    assert "unknown scene 'nowhere' (known: radio, daily" in segue("recall-report", "--scene", "nowhere", status=2).err


def test_bench_names_every_benchmark(segue):
    names = [row["name"] for row in segue("bench", "--list", "--json").json["benchmarks"]]
    assert {"channels", "serve", "world"} <= set(names)


def test_doctor_of_a_healthy_house(segue):
    answer = segue("doctor", "--json").json
    assert answer["ok"]
    assert all(check.keys() == {"name", "ok", "detail", "advice"} for check in answer["checks"])


def test_doctor_of_a_house_without_a_release(house):
    (house.folder / "releases" / "current").unlink()
    ran = house.segue("doctor", "--json")
    assert ran.status == 1
    release = next(check for check in json.loads(ran.out)["checks"] if check["name"] == "release")
    assert not release["ok"]
    assert "segue refresh" in release["advice"]


def test_demo_goes_from_nothing_to_songs_with_reasons(tmp_path):
    """On a smaller world than the real one, which `make demo` makes."""
    small = "import api.commands.demo as d; d.WORLD.update(users=60, songs=200, days=20, events=4000); "
    start = "import sys; sys.argv = ['segue', 'demo', '--json']; from api.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", small + start], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert len(answer["recommendations"]) == 3
    for slate in answer["recommendations"]:
        assert len(slate["items"]) == 10
        assert all(item["channels"] and item["reasons"] for item in slate["items"])
    assert (tmp_path / "var" / "demo" / "segue.toml").exists()


# ---- for people


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["recommend", "LISTENER", "--explain"], "found by"),
        (["recall", "LISTENER"], "channel"),
        (["similar", "SONG"], "score"),
        (["explain", "LISTENER", "SONG"], "cypher"),
        (["cypher", "RETURN 1 AS one"], "one"),
        (["graph", "stats"], "LISTENED"),
        (["release", "list"], "ndcg@10"),
        (["release", "show"], "as_of"),
        (["release", "verify"], "agrees with its checksum"),
        (["settings"], "song2vec"),
        (["bench", "--list"], "channels"),
        (["doctor"], "engine"),
        (["--help"], "refresh"),
        (["--version"], "segue 0"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)
def test_tables_for_people(segue, listener, song, args, shown):
    words = [{"LISTENER": listener, "SONG": song}.get(word, word) for word in args]
    out = segue(*words).out
    assert shown in out
    assert len(out.splitlines()) >= 1


# ---- settings


def test_settings_show_everything_and_hide_secrets(run_cli, tmp_path):
    file = tmp_path / "segue.toml"
    file.write_text(
        '[graph]\nurl = "bolt://localhost:1"\npassword = "geheim1"\nreader_password = "geheim2"\n'
        '[events]\nurl = "postgresql+psycopg://me:geheim3@localhost/segue"\n[api]\nkeys = ["geheim4-geheim4-"]\n',
        encoding="utf-8",
    )
    ran = run_cli("--config", str(file), "settings", "--json")
    assert "geheim" not in ran.out
    sections = {"state", "graph", "events", "releases", "privacy", "scenes", "embed", "refresh", "reasons", "api"}
    assert ran.json.keys() == sections | {"seed", "clock"}
    assert ran.json["events"]["url"] == "postgresql+psycopg://me:***@localhost/segue"
    assert ran.json["scenes"].keys() == {"radio", "daily", "similar", "nearby", "following", "fresh"}
    assert "geheim" not in run_cli("--config", str(file), "settings").out


def test_variables_go_over_the_file(run_cli, tmp_path, monkeypatch):
    file = tmp_path / "segue.toml"
    file.write_text('seed = 1\n[graph]\nheap = "1g"\n[api]\nport = 1\n', encoding="utf-8")
    monkeypatch.setenv("SEGUE_API__PORT", "2")
    monkeypatch.setenv("SEGUE_CONFIG", str(file))
    answer = run_cli("settings", "--json").json
    assert (answer["seed"], answer["api"]["port"], answer["graph"]["heap"]) == (1, 2, "1g")


def test_relative_paths_are_relative_to_the_settings_file(run_cli, tmp_path):
    file = tmp_path / "segue.toml"
    file.write_text('[state]\ndir = "here"\n', encoding="utf-8")
    answer = run_cli("--config", str(file), "settings", "--json").json
    assert answer["state"]["dir"] == str(tmp_path / "here")
    assert answer["graph"]["url"] == f"embedded:{tmp_path}/here/graph"
    assert answer["events"]["url"] == f"sqlite:///{tmp_path}/here/events.db"
    assert answer["releases"]["dir"] == str(tmp_path / "here" / "releases")


def test_an_error_shows_its_traceback_only_when_asked(run_cli, refreshed):
    args = ("similar", "no such song")
    plain = run_cli("--config", str(refreshed.config), *args)
    assert (plain.status, plain.err) == (2, "segue: unknown song 'no such song'\n")
    assert "Traceback" in run_cli("--config", str(refreshed.config), "--debug", *args).err


# ---- what serving loads


def test_serving_imports_neither_torch_nor_gensim(house):
    script = (
        "import sys, pathlib, api.app, api.service\n"
        "from api.recommender import SlateRequest, Recommender\n"
        "from api.settings import load\n"
        "from graph.log.events import EventLog\n"
        f"settings = load(pathlib.Path({str(house.config)!r}))\n"
        "with EventLog(settings.events.url) as log:\n"
        "    recommender = Recommender(settings, log, budgeted=False)\n"
        "    assert recommender.recommend(SlateRequest(user_id='u', explain=True))['items']\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'gensim', 'torch_geometric'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=house.folder)
    assert done.stdout.strip() == "[]", done.stderr


def test_serving_never_asks_the_graph(house, tmp_path):
    """With a graph that cannot be reached, everything but graph queries and refreshes goes on."""
    house.graph = tmp_path / "a file"
    house.graph.write_text("no folder", encoding="utf-8")
    house.settle()
    with house.serve() as server:
        assert len(server.post("/v1/recommend", {"user_id": "u", "explain": True}).json()["items"]) == 10
        refused = server.post("/v1/graph/query", {"query": "RETURN 1 AS one"})
        assert (refused.status_code, refused.json()["title"]) == (503, "Store unavailable")


def test_events_and_exposures_go_to_a_data_warehouse_as_parquet(segue, mine, tmp_path):
    answer = segue("export", str(tmp_path / "lake"), "--json").json
    with mine.log() as log:
        assert answer["written"]["events"] == log.last_offset()
    rows = pl.read_parquet(tmp_path / "lake" / "events.parquet")
    assert (len(rows), rows["offset"][0]) == (answer["written"]["events"], 1)
