"""Malformed input of every kind: each gets one clear line, none a traceback or a 500, and nothing is lost.

Files through `segue import`, bodies and paths through REST, Cypher through the read-only route on both engines, the
command line and the settings. The last test looks at what is left of the state.
"""

from __future__ import annotations

import json

import pytest

from graph.importers.base import formats

LONG = "x" * 300
BOM = b"\xef\xbb\xbf"
SURROGATE = "\ud800"


@pytest.fixture(scope="module")
def before(served_house, server):
    """What the state holds before all this."""
    return holdings(served_house, server)


@pytest.fixture(scope="module", autouse=True)
def _looked_at_first(before):
    """The state is looked at before the first test of this file."""


def holdings(house, server):
    with house.log() as log:
        found = {"events": log.last_offset(), "journal": log.last_journal_offset()}
    labels = server.post("/v1/graph/query", {"query": "MATCH (n) RETURN labels(n)[0] AS label, count(*) AS n"}).json()
    edges = server.post("/v1/graph/query", {"query": "MATCH ()-[r]->() RETURN type(r) AS type, count(*) AS n"}).json()
    found |= {"labels": sorted(labels["rows"]), "edges": sorted(edges["rows"])}
    return found | {"release": house.releases.current(), "damage": house.releases.verify(house.releases.current())}


def is_clear(ran, status):
    """One line of reason on stderr, the status of the contract, no traceback."""
    assert ran.status == status, (ran.out, ran.err)
    assert "Traceback" not in ran.err
    reasons = [line for line in ran.err.splitlines() if line.startswith("segue: ")]
    assert len(reasons) == 1, ran.err
    assert len(reasons[0]) > len("segue: ") + 8
    assert "(--debug shows where)" not in reasons[0], "an error that nobody foresaw"


def is_problem(answer, *statuses):
    """Problem details of one of the statuses, with a reason."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert len(body["detail"]) > 5
    assert "Traceback" not in answer.text


# ---- files

EVENTS = "user_id,action,song_id"
# format, name of the file in the folder ("" for a file that is the path itself), its content
FILES = {
    "tables: an empty file": ("tables", "events.csv", b""),
    "tables: blanks only": ("tables", "events.csv", b"\n\n  \n"),
    "tables: not UTF-8": ("tables", "events.csv", b"user_id,action,song_id\n\xff\xfe,play,s\n"),
    "tables: no column user_id": ("tables", "events.csv", b"who,action,song_id\na,play,s\n"),
    "tables: a column twice": ("tables", "events.csv", b"user_id,user_id,action\na,a,play\n"),
    "tables: no table at all": ("tables", "readme.txt", b"hello"),
    "tables: songs without users": ("tables", "songs.csv", b"id,title\ns,t\n"),
    "tables: no Parquet": ("tables", "events.parquet", b"user_id,action\na,play\n"),
    "tables: a cut Parquet": ("tables", "events.parquet", b"PAR1\x00\x00\x00PAR1"),
    "tables: an empty Parquet": ("tables", "events.parquet", b""),
    "tables: binary": ("tables", "events.csv", bytes(range(256)) * 40),
    "tables: a quote that never ends": ("tables", "events.csv", f'{EVENTS}\na,"play,s\nb,play,s\n'.encode()),
    "tables: too few fields": ("tables", "events.csv", f"{EVENTS}\na,play\n".encode()),
    "tables: too many fields": ("tables", "events.csv", f"{EVENTS}\na,play,s,t,u\n".encode()),
    "tables: an unknown action": ("tables", "events.csv", f"{EVENTS}\na,dance,s\n".encode()),
    "tables: no song": ("tables", "events.csv", f"{EVENTS}\na,play,\n".encode()),
    "tables: no user": ("tables", "events.csv", f"{EVENTS}\n,play,s\n".encode()),
    "tables: an id with NUL": ("tables", "events.csv", f"{EVENTS}\na\0b,play,s\n".encode()),
    "tables: a count of 0": ("tables", "events.csv", f"{EVENTS},count\na,play,s,0\n".encode()),
    "tables: a count of -1": ("tables", "events.csv", f"{EVENTS},count\na,play,s,-1\n".encode()),
    "tables: a count of 10^40": ("tables", "events.csv", f"{EVENTS},count\na,play,s,{10**40}\n".encode()),
    "tables: half a count": ("tables", "events.csv", f"{EVENTS},count\na,play,s,1.5\n".encode()),
    "tables: a count in words": ("tables", "events.csv", f"{EVENTS},count\na,play,s,many\n".encode()),
    "tables: a time far ahead": ("tables", "events.csv", f"{EVENTS},at\na,play,s,9999999999999\n".encode()),
    "tables: a time before 1970": ("tables", "events.csv", f"{EVENTS},at\na,play,s,-1\n".encode()),
    "tables: a time in words": ("tables", "events.csv", f"{EVENTS},at\na,play,s,yesterday\n".encode()),
    "tables: a rating of inf": ("tables", "events.csv", f"{EVENTS},rating\na,play,s,inf\n".encode()),
    "tables: latitude 91": ("tables", "events.csv", f"{EVENTS},latitude,longitude\na,play,s,91,0\n".encode()),
    "tables: latitude alone": ("tables", "events.csv", f"{EVENTS},latitude\na,play,s,1\n".encode()),
    "tables: a search for nothing": ("tables", "events.csv", b"user_id,action,query\na,search,\n"),
    "tables: a follow of nobody": ("tables", "events.csv", b"user_id,action,target_label\na,follow,User\n"),
    "tables: a follow of a song": ("tables", "events.csv", b"user_id,action,target_label,target_id\na,follow,Song,s\n"),
    "tables: a position of -1": ("tables", "events.csv", f"{EVENTS},position\na,play,s,-1\n".encode()),
    "recbole: no header": ("recbole", "x.inter", b"1\t2\n3\t4\n"),
    "recbole: an empty file": ("recbole", "x.inter", b""),
    "recbole: an unknown type": ("recbole", "x.inter", b"user_id:token\titem_id:thing\n1\t2\n"),
    "recbole: a field twice": ("recbole", "x.inter", b"user_id:token\tuser_id:token\n1\t2\n"),
    "recbole: no item": ("recbole", "x.inter", b"user_id:token\trating:float\n1\t2\n"),
    "recbole: nothing of its own": ("recbole", "x.csv", b"1,2\n"),
    "recbole: a time in words": ("recbole", "x.inter", b"user_id:token\titem_id:token\ttimestamp:float\n1\t2\tnoon\n"),
    "recbole: not UTF-8": ("recbole", "x.inter", b"user_id:token\titem_id:token\n\xff\t2\n"),
    "lastfm: an empty folder": ("lastfm", "readme.txt", b"x"),
    "lastfm: an empty file": ("lastfm", "user_artists.dat", b""),
    "lastfm: other columns": ("lastfm", "user_artists.dat", b"a\tb\tc\n1\t2\t3\n"),
    "lightgcn: an empty file": ("lightgcn", "train.txt", b""),
    "lightgcn: no train.txt": ("lightgcn", "test.txt", b"0 1 2\n"),
    "lightgcn: not UTF-8": ("lightgcn", "train.txt", b"0 \xff 2\n"),
    "s3rec: an empty file": ("s3rec", "x.txt", b""),
    "s3rec: no file": ("s3rec", "x.csv", b"1 2 3\n"),
    "situnes: nothing of its own": ("situnes", "x.txt", b"1"),
    "kg: no kg.txt": ("kg", "item_index2entity_id.txt", b"1\t2\n"),
    "kg: an empty file": ("kg", "kg.txt", b""),
    "edgelist: an empty file": ("edgelist", "", b""),
    "edgelist: one field a line": ("edgelist", "", b"a\nb\n"),
    "edgelist: too many fields": ("edgelist", "", b"a b 1 x y z\nb c 1\n"),
    "edgelist: a weight below 0": ("edgelist", "", b"a b -1\n"),
    "edgelist: comments only": ("edgelist", "", b"# nothing\n% here\n"),
    "edgelist: not UTF-8": ("edgelist", "", b"a \xff\n"),
    "edgelist: binary": ("edgelist", "", bytes(range(256)) * 10),
    "world: a damaged world": ("world", "world.json", b"{"),
    "spotify: an empty file": ("spotify", "endsong_0.json", b""),
    "spotify: no array": ("spotify", "endsong_0.json", b'{"ts": 1}'),
    "spotify: cut JSON": ("spotify", "endsong_0.json", b'[{"ts": "2024-03'),
    "spotify: a number of 9,000 digits": ("spotify", "endsong_0.json", b"[" + b"9" * 9_000 + b"]"),
    "listenbrainz: a cut line": ("listenbrainz", "listens/3.jsonl", b'{"listened_at": 17'),
    "lastfm-export: no track": ("lastfm-export", "s.csv", b"uts,artist,track\n1709287450,a,\n"),
    "lastfm-export: a time in words": ("lastfm-export", "s.csv", b"uts,artist,track\nnoon,a,b\n"),
    "lastfm-1k: no listener": (
        "lastfm-1k", "userid-timestamp-artid-artname-traid-traname.tsv", b"\t2009-04-08T01:57:47Z\ta\tB\tt\tT\n"
    ),
    "lastfm-360k: plays in words": ("lastfm-360k", "usersha1-artmbid-artname-plays.tsv", b"u\ta\tB\tmany\n"),
    "mpd: no playlists": ("mpd", "mpd.slice.0-9.json", b"[]"),
    "yambda: no Parquet": ("yambda", "listens.parquet", b"PAR1"),
    "rockbox: an unknown rating": ("rockbox", ".scrobbler.log", b"#AUDIOSCROBBLER/1.1\na\t\tb\t\t1\tX\t1\t\n"),
    "deezer: no workbook": ("deezer", "deezer-data_1.xlsx", b"PK\x03\x04"),
    "apple-music: a time in words": (
        "apple-music", "a.csv", b"Song Name,Play Duration Milliseconds,Event Start Timestamp\nT,1,noon\n"
    ),
}  # fmt: skip
# the same, of what looks odd and loses nothing
KEPT = {
    "tables: UTF-16": ("tables", "events.csv", (EVENTS + "\na,play,s\n").encode("utf-16")),
    "tables: other separator": ("tables", "events.csv", b"user_id;action;song_id\na;play;s\n"),
    "tables: a field of 200 kB": ("tables", "events.csv", f'{EVENTS}\n"{"y" * 200_000}",play,s\n'.encode()),
    "tables: an id with a slash": ("tables", "events.csv", f"{EVENTS}\na/b,play,s\n".encode()),
    "tables: an id of 300 bytes": ("tables", "events.csv", f"{EVENTS}\n{LONG},play,s\n".encode()),
    "tables: an id with ESC": ("tables", "events.csv", f"{EVENTS}\na\x1b[31m,play,s\n".encode()),
    "tables: a rating of NaN": ("tables", "events.csv", f"{EVENTS},rating\na,play,s,nan\n".encode()),
    "lightgcn: an id with a slash": ("lightgcn", "train.txt", b"0 1/2 3\n"),
    "s3rec: an id of 300 bytes": ("s3rec", "x.txt", f"1 {LONG} 3\n".encode()),
}  # fmt: skip


@pytest.fixture
def segue(served_house, run_cli):
    return lambda *args: run_cli("--config", str(served_house.config), *args)


@pytest.mark.parametrize("case", FILES)
def test_a_broken_file_or_row_is_named(case, segue, tmp_path):
    format_, name, content = FILES[case]
    path = tmp_path / "given"
    file = path / name if name else path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    ran = segue("import", format_, str(path), "--dry-run", "--strict")
    is_clear(ran, 2)
    if name and case.split(": ")[1].startswith(("an ", "a ", "not", "too", "half")) and "file" in ran.err:
        assert str(path) in ran.err


@pytest.mark.parametrize("case", KEPT)
def test_a_file_that_looks_odd_is_read_whole(case, segue, tmp_path):
    format_, name, content = KEPT[case]
    (tmp_path / name).write_bytes(content)
    report = segue("import", format_, str(tmp_path), "--dry-run", "--strict", "--json").json
    assert report["read"] > 0
    assert report["rejected"] == 0


@pytest.mark.parametrize("format_", [name for name in formats() if name != "world"])
def test_a_path_that_is_not_there_or_of_the_wrong_kind_is_named(format_, segue, tmp_path):
    is_clear(segue("import", format_, str(tmp_path / "nothing"), "--dry-run"), 2)
    wrong = tmp_path / "wrong"
    if format_ == "edgelist":
        wrong.mkdir()
    else:
        wrong.write_bytes(b"\0 \1 \2")
    is_clear(segue("import", format_, str(wrong), "--dry-run", "--strict"), 2)


def test_an_s3rec_attribute_file_of_the_wrong_shape_is_named(segue, tmp_path):
    for content in ("[1, 2]", "{", '{"1": 5}', "[" * 100_000):
        (tmp_path / "x.txt").write_text("1 2 3\n", encoding="utf-8")
        (tmp_path / "x_item2attributes.json").write_text(content, encoding="utf-8")
        is_clear(segue("import", "s3rec", str(tmp_path), "--dry-run", "--strict"), 2)


def test_bad_rows_do_not_stop_the_good_ones(lone_house, tmp_path):
    house = lone_house  # an import adds nodes to the graph
    (tmp_path / "events.csv").write_text(f"{EVENTS}\na,play,s1\nb,dance,s1\nc,play,\n", encoding="utf-8")
    with house.log() as log:
        offset = log.last_offset()
    report = house.segue("import", "tables", str(tmp_path), "--merge", "--json").json
    assert (report["read"], report["rejected"]) == (3, 2)
    with house.log() as log:
        assert [event.user_id for event in log.of_user("a", offset)] == ["a"]
        assert log.last_offset() == offset + 1


# ---- the command line

COMMANDS = {
    "no such command": ["dance"],
    "no such option": ["recommend", "u", "--loud"],
    "an argument missing": ["recommend"],
    "an argument too many": ["recommend", "a", "b"],
    "n of 0": ["recommend", "u", "-n", "0"],
    "n of -1": ["recommend", "u", "-n", "-1"],
    "n in words": ["recommend", "u", "-n", "ten"],
    "n of 10^30": ["recommend", "u", "-n", str(10**30)],
    "no such scene": ["recommend", "u", "--scene", "karaoke"],
    "a scene that is hostile": ["recommend", "u", "--scene", "../../etc/passwd"],
    "no such channel": ["recall", "u", "--channel", "telepathy"],
    "k of 0": ["recall", "u", "-k", "0"],
    "a song that nobody knows": ["similar", "no such song"],
    "a song with control characters": ["similar", "\x1b[31m\x07"],
    "vectors that nobody made": ["similar", "SONG", "--by", "smell"],
    "a gamma without a value": ["similar", "SONG", "--gamma", "HAS_GENRE"],
    "a gamma in words": ["similar", "SONG", "--gamma", "HAS_GENRE=much"],
    "a gamma of NaN": ["similar", "SONG", "--gamma", "HAS_GENRE=nan"],
    "a gamma without a relation": ["similar", "SONG", "--gamma", "=1"],
    "a gamma of nothing known": ["similar", "SONG", "--gamma", "NO_SUCH=1"],
    "an explanation of nothing known": ["explain", "u", "no such song"],
    "an unknown format": ["import", "excel", "x"],
    "a format with dots": ["import", "../base", "x"],
    "the importers' own base": ["import", "base", "x"],
    "an option of another format": ["import", "tables", "x", "--users", "5"],
    "a listener of many people's plays": ["import", "lastfm-1k", "x", "--user", "vera"],
    "a beginning of times that is none": ["import", "yambda", "x", "--origin", "soon"],
    "a world without songs": ["import", "world", "WORLD", "--songs", "0", "--dry-run"],
    "a world of -5 listeners": ["import", "world", "WORLD", "--users", "-5", "--dry-run"],
    "no such step": ["refresh", "--only", "dance"],
    "no such release": ["release", "show", "20200101T000000Z-000000000000"],
    "a release with dots": ["release", "verify", "../.."],
    "a rollback to nothing": ["release", "rollback", "nothing"],
    "a rollback of the first one": ["release", "rollback"],
    "a prune to 0": ["release", "prune", "--keep", "0"],
    "a diff with nothing": ["release", "diff", "a", "b"],
    "a parameter without a value": ["cypher", "RETURN $x AS x", "--param", "x"],
    "a parameter that is no JSON": ["cypher", "RETURN $x AS x", "--param", "x:={"],
    "a parameter with a strange name": ["cypher", "RETURN 1 AS x", "--param", "x y=1"],
    "a parameter that is missing": ["cypher", "RETURN $nobody AS x"],
    "a query that is empty": ["cypher", ""],
    "a query that is no Cypher": ["cypher", "SELECT * FROM songs"],
    "a write without --write": ["cypher", "CREATE (n:Song {id: 'evil'}) RETURN n AS n"],
    "a limit of 0": ["cypher", "RETURN 1 AS one", "--limit", "0"],
    "an unknown benchmark": ["bench", "luck"],
    "a benchmark with dots": ["bench", "../setup"],
    "a port of 99999": ["serve", "--port", "99999"],
    "no workers": ["serve", "--workers", "0"],
    "an address without a key": ["serve", "--host", "0.0.0.0"],
    "an unknown model": ["evaluate", "oracle", "--data", "tables:x", "--protocol", "ratio"],
    "an unknown protocol": ["evaluate", "popularity", "--data", "tables:x", "--protocol", "luck"],
    "data without a format": ["evaluate", "popularity", "--data", "x", "--protocol", "ratio"],
    "k that is no number": ["evaluate", "popularity", "--data", "tables:x", "--protocol", "ratio", "-k", "ten"],
    "a settings file that is not there": ["--config", "nothing.toml", "settings"],
}  # fmt: skip


@pytest.mark.parametrize("case", COMMANDS)
def test_a_misused_command_says_what_is_wrong(case, segue, tmp_path, served_house):
    stands = {"SONG": served_house.release.snapshot.ids["Song"][0], "WORLD": str(tmp_path / "world")}
    is_clear(segue(*(stands.get(word, word) for word in COMMANDS[case])), 2)


# ---- settings

SETTINGS = {
    "no TOML": "seed = = 1",
    "an unknown key": "sead = 1",
    "an unknown section": "[grpah]\nurl = 'x'",
    "an unknown key of a section": "[graph]\nurk = 'x'",
    "a section that is a number": "graph = 1",
    "a seed in words": "seed = 'one'",
    "a seed below 0": "seed = -1",
    "a seed of 2^40": "seed = 1099511627776",
    "a clock of its own": "clock = 'sundial'",
    "a time limit of 0": "[graph]\nquery_timeout_s = 0",
    "a port of 70000": "[api]\nport = 70000",
    "keys that are a text": "[api]\nkeys = 'one'",
    "a margin of 2": "[refresh]\nmargin = 2.0",
    "a schedule of 25:00": "[refresh]\nschedule = '25:00'",
    "a resolution of 99": "[privacy]\nh3_resolution = 99",
    "a policy of its own": "[scenes.radio]\nheard = 'sometimes'",
    "a policy of no days": "[scenes.radio]\nheard = 'after d'",
    "n of 0": "[scenes.radio]\nn = 0",
    "a budget of 0": "[scenes.radio]\nbudget_ms = 0",
    "an unknown channel": "[scenes.radio.channels.telepathy]\nquota = 5",
    "an unknown option of a channel": "[scenes.radio.channels.social]\nvolume = 11",
    "an option of the wrong type": "[scenes.radio.channels.social]\nquota = 'many'",
    "a quota below 0": "[scenes.radio.channels.social]\nquota = -1",
    "a weight below 0": "[scenes.radio.channels.social]\nweight = -1.0",
    "a weight of inf": "[scenes.radio.channels.social]\nweight = inf",
    "a channel from nowhere": "[scenes.radio.channels.mine]\nuse = 'no.such.module:Class'",
    "a channel without a colon": "[scenes.radio.channels.mine]\nuse = 'json'",
    "a channel that is a number": "[scenes.radio.channels.mine]\nuse = 5",
    "an unknown model": "[embed.word2vec]\nepochs = 1",
    "an unknown option of a model": "[embed.song2vec]\nepoch = 1",
    "an option of a model of the wrong type": "[embed.song2vec]\nepochs = 1.5",
    "a gamma in words": "[embed.song2vec.gamma]\nHAS_GENRE = 'much'",
    "not UTF-8": b"seed = '\xff'",
    "binary": b"\0\1\2\3",
}


@pytest.mark.parametrize("case", SETTINGS)
def test_bad_settings_are_named(case, run_cli, tmp_path):
    content = SETTINGS[case]
    file = tmp_path / "segue.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    ran = run_cli("--config", str(file), "settings")
    is_clear(ran, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEGUE_SEED", "one"),
        ("SEGUE_SEAD", "1"),
        ("SEGUE_GRAPH__URK", "x"),
        ("SEGUE_GRAPH", "x"),
        ("SEGUE_API__PORT", "-1"),
        ("SEGUE_API__KEYS", "[1"),
        ("SEGUE_CONFIG", "/no/such/file.toml"),
    ],
)
def test_a_bad_variable_is_named(name, value, run_cli, monkeypatch):
    monkeypatch.setenv(name, value)
    ran = run_cli("settings")
    is_clear(ran, 2)
    assert value in ran.err or name.removeprefix("SEGUE_").partition("__")[0].lower() in ran.err.lower()


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ('[graph]\nurl = "http://localhost:7687"', 2),
        ('[graph]\nurl = "bolt://127.0.0.1:1"', 1),
        ('[graph]\nheap = "lots"', 2),
        ('[graph]\nurl = "embedded:/proc/nothing"', 1),
    ],
)
def test_a_graph_that_cannot_be_had_says_why(settings, status, run_cli, tmp_path):
    file = tmp_path / "segue.toml"
    file.write_text(settings, encoding="utf-8")
    is_clear(run_cli("--config", str(file), "graph", "stats"), status)


@pytest.mark.parametrize(
    ("url", "status"),
    [("mysql://x/y", 2), ("nonsense", 2), ("sqlite:////proc/nothing/events.db", 1), ("sqlite:///segue.toml", 1)],
)
def test_an_event_log_that_cannot_be_had_says_why(url, status, run_cli, tmp_path):
    file = tmp_path / "segue.toml"
    file.write_text(f'[events]\nurl = "{url}"\n' + "# long enough to be no database\n" * 100, encoding="utf-8")
    is_clear(run_cli("--config", str(file), "recommend", "u"), status)


# ---- REST: paths and bodies

PATHS = {
    "a song with an encoded slash": "/v1/songs/a%2Fb/similar",
    "a song of NUL": "/v1/songs/%00/similar",
    "a song that is no UTF-8": "/v1/songs/%ff%fe/similar",
    "a song of 300 bytes": f"/v1/songs/{LONG}/similar",
    "a song that climbs": "/v1/songs/%2e%2e/similar",
    "a song of Cypher": "/v1/songs/'%20OR%201=1/similar",
    "n of 0": "/v1/songs/SONG/similar?n=0",
    "n of 10^9": "/v1/songs/SONG/similar?n=1000000000",
    "n in words": "/v1/songs/SONG/similar?n=ten",
    "by nothing": "/v1/songs/SONG/similar?by=",
    "by a path": "/v1/songs/SONG/similar?by=../../x",
    "gamma of inf": "/v1/songs/SONG/similar?gamma.HAS_GENRE=inf",
    "gamma of 10^400": "/v1/songs/SONG/similar?gamma.HAS_GENRE=1e400",
    "gamma of nothing": "/v1/songs/SONG/similar?gamma.=1",
    "an unknown parameter": "/v1/songs/SONG/similar?volume=11",
    "recall of nobody": "/v1/recall/popularity",
    "recall of an empty id": "/v1/recall/popularity?user_id=",
    "recall of -1": "/v1/recall/popularity?user_id=u&k=-1",
    "recall by a path": "/v1/recall/..%2f..%2fetc?user_id=u",
    "recall by a long name": f"/v1/recall/{LONG}?user_id=u",
    "why of nothing": "/v1/users/u/why/none",
    "why of a long listener": f"/v1/users/{LONG}/why/SONG",
    "why without a novel": f"/v1/users/u/why/SONG?without={'x' * 1001}",
    "no such job": "/v1/jobs/none",
    "a job of Cypher": "/v1/jobs/'; DROP TABLE jobs; --",
    "a job of 300 bytes": f"/v1/jobs/{LONG}",
    "nothing": "/v1/",
    "a file": "/v1/../../../etc/passwd",
    "a file, encoded": "/v1/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
}


@pytest.mark.parametrize("case", PATHS)
def test_a_wrong_path_is_a_problem(case, server, served_house):
    path = PATHS[case].replace("SONG", served_house.release.snapshot.ids["Song"][0])
    is_problem(server.get(path), 400, 404, 422)


RECOMMEND, EVENTS_PATH, QUERY, RECALL, JOB = (
    "/v1/recommend", "/v1/events", "/v1/graph/query", "/v1/recall", "/v1/jobs/refresh",
)  # fmt: skip
BODIES = {
    "nothing": (RECOMMEND, b""),
    "no JSON": (RECOMMEND, b"{"),
    "a list": (RECOMMEND, []),
    "a number": (RECOMMEND, 5),
    "null": (RECOMMEND, None),
    "nobody": (RECOMMEND, {}),
    "a listener and a session": (RECOMMEND, {"user_id": "u", "session": ["s"]}),
    "a listener that is a number": (RECOMMEND, {"user_id": 5}),
    "a listener that is a list": (RECOMMEND, {"user_id": ["u"]}),
    "an empty listener": (RECOMMEND, {"user_id": ""}),
    "a listener of 300 bytes": (RECOMMEND, {"user_id": LONG}),
    "a listener with NUL": (RECOMMEND, {"user_id": "a\0b"}),
    "a listener that is half a character": (RECOMMEND, b'{"user_id": "\\ud800"}'),
    "a listener that is no UTF-8": (RECOMMEND, b'{"user_id": "\xff"}'),
    "an unknown field": (RECOMMEND, {"user_id": "u", "volume": 11}),
    "an unknown scene": (RECOMMEND, {"user_id": "u", "scene": "karaoke"}),
    "a scene of half a character": (RECOMMEND, b'{"user_id": "u", "scene": "\\udfff"}'),
    "n of 0": (RECOMMEND, {"user_id": "u", "n": 0}),
    "n of a million": (RECOMMEND, {"user_id": "u", "n": 1_000_000}),
    "n of 10^30": (RECOMMEND, {"user_id": "u", "n": 10**30}),
    "n of a half": (RECOMMEND, {"user_id": "u", "n": 1.5}),
    "n that is true": (RECOMMEND, {"user_id": "u", "n": True}),
    "n in words": (RECOMMEND, {"user_id": "u", "n": "10"}),
    "explain in words": (RECOMMEND, {"user_id": "u", "explain": "yes"}),
    "a session of numbers": (RECOMMEND, {"session": [1, 2]}),
    "a session that is a text": (RECOMMEND, {"session": "s"}),
    "a session of 10,000": (RECOMMEND, {"session": ["s"] * 10_000}),
    "an exclusion of 20,000": (RECOMMEND, {"user_id": "u", "exclude": ["s"] * 20_000}),
    "an exclusion of objects": (RECOMMEND, {"user_id": "u", "exclude": [{}]}),
    "a context that is a list": (RECOMMEND, {"user_id": "u", "context": []}),
    "a time before 1970": (RECOMMEND, {"user_id": "u", "context": {"at": -1}}),
    "a time of 10^30": (RECOMMEND, {"user_id": "u", "context": {"at": 10**30}}),
    "a time in words": (RECOMMEND, {"user_id": "u", "context": {"at": "now"}}),
    "latitude alone": (RECOMMEND, {"user_id": "u", "context": {"latitude": 1.0}}),
    "latitude 91": (RECOMMEND, {"user_id": "u", "context": {"latitude": 91.0, "longitude": 0.0}}),
    "latitude of NaN": (RECOMMEND, b'{"user_id": "u", "context": {"latitude": NaN, "longitude": 0.0}}'),
    "depth": (RECOMMEND, b'{"user_id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "an integer of 10,000 digits": (RECOMMEND, b'{"user_id": "u", "n": ' + b"9" * 10_000 + b"}"),
    "recall of nobody": (RECALL, {"k": 5}),
    "recall of 0": (RECALL, {"user_id": "u", "k": 0}),
    "recall of a million": (RECALL, {"user_id": "u", "k": 1_000_000}),
    "recall by nothing known": (RECALL, {"user_id": "u", "channels": ["telepathy"]}),
    "recall by numbers": (RECALL, {"user_id": "u", "channels": [1]}),
    "recall by a text": (RECALL, {"user_id": "u", "channels": "popularity"}),
    "events: nothing": (EVENTS_PATH, b""),
    "events: no JSON": (EVENTS_PATH, b"user_id=u"),
    "events: a text": (EVENTS_PATH, "play"),
    "events: an object": (EVENTS_PATH, {"user_id": "u"}),
    "events: an object too many": (EVENTS_PATH, {"events": [], "more": 1}),
    "events: a number under events": (EVENTS_PATH, {"events": 5}),
    "events: 1,001": (EVENTS_PATH, [{}] * 1001),
    "events: depth": (EVENTS_PATH, b"[" * 100_000 + b"]" * 100_000),
    "query: nothing": (QUERY, {}),
    "query: a number": (QUERY, {"query": 5}),
    "query: parameters in a list": (QUERY, {"query": "RETURN 1 AS x", "parameters": [1]}),
    "query: a limit of 0": (QUERY, {"query": "RETURN 1 AS x", "limit": 0}),
    "query: a limit of 10^12": (QUERY, {"query": "RETURN 1 AS x", "limit": 10**12}),
    "query: no time": (QUERY, {"query": "RETURN 1 AS x", "timeout_s": 0}),
    "query: less than no time": (QUERY, {"query": "RETURN 1 AS x", "timeout_s": -1}),
    "query: for ever": (QUERY, b'{"query": "RETURN 1 AS x", "timeout_s": Infinity}'),
    "query: an unknown field": (QUERY, {"query": "RETURN 1 AS x", "write": True}),
    "query: 200 kB": (QUERY, {"query": "RETURN 1 AS x //" + "x" * 200_000}),
    "query: a parameter of 10^30": (QUERY, {"query": "RETURN $x AS x", "parameters": {"x": 10**30}}),
    "query: a parameter of depth": (QUERY, b'{"query": "RETURN $x AS x", "parameters": {"x": '
                                    + b"[" * 500 + b"]" * 500 + b"}}"),
    "query: a parameter of half a character": (QUERY, b'{"query": "RETURN $x AS x", "parameters": {"x": "\\ud800"}}'),
    "job: a list": (JOB, [1]),
    "job: an unknown field": (JOB, {"fast": True}),
    "job: full in words": (JOB, {"full": "yes"}),
    "a release that is not there": ("/v1/releases/nothing/activate", b""),
    "a release with dots": ("/v1/releases/%2e%2e/activate", b""),
    "a release of 300 bytes": (f"/v1/releases/{LONG}/activate", b""),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_a_wrong_body_is_a_problem(case, server):
    path, body = BODIES[case]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.client.post(path, content=content, headers={"content-type": "application/json"})
    is_problem(answer, 400, 404, 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", ""])
def test_a_body_of_another_kind_is_a_problem(kind, server):
    is_problem(server.client.post(RECOMMEND, content=b"<x/>", headers={"content-type": kind}), 400, 415, 422)


GOOD = {"user_id": "u", "action": "play", "song_id": "s"}
REJECTED = {
    "a number": 5,
    "null": None,
    "a list": [],
    "nothing": {},
    "no user": {"action": "play", "song_id": "s"},
    "no action": {"user_id": "u"},
    "no song": {"user_id": "u", "action": "play"},
    "an unknown field": GOOD | {"volume": 11},
    "an action that is a list": GOOD | {"action": ["play"]},
    "an action that is an object": GOOD | {"action": {}},
    "a user that is a number": GOOD | {"user_id": 5},
    "a user of 300 bytes": GOOD | {"user_id": LONG},
    "a user with DEL": GOOD | {"user_id": "a\x7f"},
    "a user of half a character": GOOD | {"user_id": SURROGATE},
    "a field of half a character": GOOD | {SURROGATE: 1},
    "a song that is true": GOOD | {"song_id": True},
    "an id that is empty": GOOD | {"event_id": ""},
    "a count of 0": GOOD | {"count": 0},
    "a count of 10^30": GOOD | {"count": 10**30},
    "a count that is true": GOOD | {"count": True},
    "a rating of NaN": GOOD | {"rating": float("nan")},
    "a rating of 10^400": GOOD | {"rating": 10**400},
    "a time far ahead": GOOD | {"at": 10**15},
    "a time before 1970": GOOD | {"at": -5},
    "a time in seconds": GOOD | {"at": 1_700_000_000},
    "a time of a half": GOOD | {"at": 1.5},
    "latitude of inf": GOOD | {"latitude": float("inf"), "longitude": 0},
    "longitude alone": GOOD | {"longitude": 0},
    "a place that is a text": GOOD | {"latitude": "north", "longitude": "east"},
    "a search for nothing": {"user_id": "u", "action": "search"},
    "a search of 10 kB": {"user_id": "u", "action": "search", "query": "x" * 10_000},
    "a follow of a genre": {"user_id": "u", "action": "follow", "target_label": "Genre", "target_id": "g"},
    "a target without an id": GOOD | {"target_label": "Song"},
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_bad_event_is_rejected_with_its_reason(case, server):
    content = json.dumps([REJECTED[case]]).encode()
    answer = server.client.post(EVENTS_PATH, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["accepted"], body["duplicates"]) == (0, 0)
    assert [row["index"] for row in body["rejected"]] == [0]
    assert len(body["rejected"][0]["reason"]) > 5


# ---- Cypher from outside, on both engines

CYPHER = {
    "CREATE": "CREATE (n:Song {id: 'evil'}) RETURN n AS n",
    "MERGE": "MERGE (n:Song {id: 'evil'}) RETURN n AS n",
    "SET": "MATCH (n:Song) SET n.title = 'x' RETURN n AS n",
    "REMOVE": "MATCH (n:Song) REMOVE n.title RETURN n AS n",
    "DELETE": "MATCH (n:Song) DELETE n",
    "DETACH DELETE": "MATCH (n) DETACH DELETE n",
    "FOREACH": "MATCH (n:Song) FOREACH (x IN [1] | SET n.title = 'x')",
    "a write in a subquery": "CALL { CREATE (n:Song {id: 'evil'}) RETURN n AS n } RETURN n AS n",
    "a write after a read": "MATCH (n:Song) WITH n LIMIT 1 CREATE (m:Song {id: 'evil'}) RETURN m AS m",
    "a write in small letters": "create (n:Song {id: 'evil'}) return n as n",
    "a write behind a comment": "/* read only */ CREATE (n:Song {id: 'evil'}) RETURN n AS n",
    "a write with escapes": "\\u0043REATE (n:Song {id: 'evil'}) RETURN n AS n",
    "a second statement": "RETURN 1 AS x; CREATE (n:Song {id: 'evil'})",
    "an index": "CREATE INDEX evil IF NOT EXISTS FOR (n:Song) ON (n.title)",
    "a dropped constraint": "DROP CONSTRAINT song_id IF EXISTS",
    "a user": "CREATE USER evil SET PASSWORD 'evilevil'",
    "LOAD CSV of a file": "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line AS line",
    "LOAD CSV over the network": "LOAD CSV FROM 'http://127.0.0.1:9/x' AS line RETURN line AS line",
    "LOAD CSV after a read": "MATCH (n:Song) WITH n LIMIT 1 LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l AS l",
    "LOAD CSV with a comment in it": "LOAD/**/CSV FROM 'file:///etc/passwd' AS line RETURN line AS line",
    "a procedure": "CALL apoc.load.json('file:///etc/passwd') YIELD value RETURN value AS value",
    "a procedure of the server": "CALL dbms.listConfig() YIELD name RETURN name AS name",
    "a procedure in quotes": "CALL `dbms`.`listConfig`() YIELD name RETURN name AS name",
    "a shutdown": "CALL dbms.shutdown()",
    "another database": "USE system SHOW USERS",
    "a list of users": "SHOW USERS",
    "a profile of a write": "PROFILE CREATE (n:Song {id: 'evil'})",
    "SQL": "SELECT * FROM Song",
    "SQL that drops": "DROP TABLE Song",
    "nothing but a comment": "// nothing",
    "nothing but blanks": "   \n",
    "half a query": "MATCH (n:Song",
    "an unknown function": "RETURN nosuch(1) AS x",
    "an unknown variable": "RETURN nobody AS x",
    "a missing parameter": "RETURN $nobody AS x",
    "a quote that never ends": "RETURN 'x AS x",
    "brackets without an end": "RETURN " + "(" * 2000 + "1" + ")" * 2000 + " AS x",
    "NUL": "RETURN 1\0 AS x",
    "a division by zero": "RETURN 1 / 0 AS x",
    "endless": "UNWIND range(1, 2000000000) AS x WITH sum(x) AS s RETURN s AS s",
    "endless pairs": "MATCH (a), (b), (c), (d), (e) WHERE a.id + b.id + c.id + d.id = e.id + 'x' RETURN count(*) AS n",
}


@pytest.fixture(params=["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def route(request):
    """The service's read-only route over each engine."""
    return request.getfixturevalue("server" if request.param == "embedded" else "neo4j_server")


@pytest.fixture(scope="module")
def neo4j_server(neo4j_session, neo4j_config, refreshed, tmp_path_factory):
    neo4j_session.upsert_nodes("Song", [{"id": f"s{i}", "title": "x"} for i in range(100)])
    house = refreshed.copy(tmp_path_factory.mktemp("neo4j-house"))
    graph = f'[graph]\nurl = "{neo4j_config.url}"\npassword = "{neo4j_config.password}"\n'
    house.config.write_text(f'clock = "data"\n[state]\ndir = "."\n{graph}', encoding="utf-8")
    with house.serve() as server:
        yield server
    house.close()


@pytest.mark.parametrize("case", CYPHER)
def test_cypher_from_outside_may_read_the_graph_and_nothing_else(case, route):
    answer = route.post(QUERY, {"query": CYPHER[case], "timeout_s": 0.5})
    is_problem(answer, *((400, 504) if case == "endless" else (504,) if "endless" in case else (400, 403, 422)))


@pytest.mark.parametrize("engine", ["embedded", pytest.param("neo4j", marks=pytest.mark.neo4j)])
def test_nothing_was_written_and_the_route_answers_on(engine, request):
    route = request.getfixturevalue("server" if engine == "embedded" else "neo4j_server")
    answer = route.post(QUERY, {"query": "MATCH (n:Song {id: 'evil'}) RETURN count(n) AS n"})
    assert answer.json()["rows"] == [[0]]
    songs = route.post(QUERY, {"query": "MATCH (n:Song) RETURN count(n) AS n"}).json()["rows"][0][0]
    assert songs == {"embedded": 200, "neo4j": 100}[engine]


# ---- afterwards


def test_these_are_at_least_two_hundred():
    assert sum(map(len, (FILES, COMMANDS, SETTINGS, PATHS, BODIES, REJECTED, CYPHER, CYPHER))) >= 200


def test_nothing_is_lost(before, served_house, server):
    assert holdings(served_house, server) == before
    assert server.post(RECOMMEND, {"user_id": "u"}).json()["release"] == before["release"]
    assert before["damage"] == []
