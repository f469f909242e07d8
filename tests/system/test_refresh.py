"""A refresh that is killed, interrupted, repeated or refused: nothing is lost, the same data give the same release."""

from __future__ import annotations

import json
import signal

import pytest

from ranking.scene import default_channels

# Where each step is killed: in its midst, with work done and nothing of it written down yet.
STEPS = {
    "snapshot": ("graph.snapshot.snapshot:Snapshot.write", 1),
    "snapshot, written": ("graph.snapshot.snapshot:Snapshot.write+", 1),
    "embed, one model": ("ranking.learning:Learner.embed+", 1),
    "embed": ("ranking.learning:Learner.embed+", 2),
    "recall": ("ranking.learning:Learner.recall+", 1),
    "rank": ("ranking.learning:Learner.rank+", 1),
    "evaluate": ("ranking.learning:Learner.evaluate+", 1),
    "publish, models": ("ranking.learning:Learner.bring_to_end+", 1),
    "publish, nothing sealed": ("graph.release:Releases.seal", 1),
    "publish, checksums": ("graph.release:checksum+", 2),
    "publish, manifest written": ("graph.release:write_text+", 1),
    "publish, bookkeeping out": ("pathlib:Path.rename", 1),
    "publish, sealed": ("graph.release:Releases.activate", 1),
    "publish, half active": ("graph.release:write_text+", 2),
    "publish, active": ("graph.release:Releases.activate+", 1),
    "project": ("graph.store.store:GraphStore.replace_derived+", 3),
}


# The gate lets every release pass, and how much of a slate reacts is not learned, which takes as long as a model.
QUICK = "[refresh]\nmargin = 0.99\n[scenes.radio]\nreserve = 0.1\n[scenes.daily]\nreserve = 0.1\n"


@pytest.fixture(scope="module")
def changed(own_house):
    """A house whose listeners have gone on since the release: the next refresh has something to do."""
    house = own_house().settle(sections=QUICK)
    snapshot = house.release.snapshot
    users, songs = snapshot.ids["User"].to_list(), snapshot.ids["Song"].to_list()
    events = [
        {"event_id": f"new-{i}", "user_id": users[i % 17], "action": action, "song_id": songs[i % 101],
         "at": snapshot.as_of + 1000 * i}
        for i, action in enumerate(["full_play", "full_play", "collect", "skip"] * 60)
    ]  # fmt: skip
    with house.log() as log:
        assert log.append(events).accepted == 240
    return house


@pytest.fixture(scope="module")
def undisturbed(changed, own_house):
    """The digest of the release that a refresh makes when nobody disturbs it."""
    house = own_house(source=changed)
    assert house.segue("refresh", "--json").json["published"]
    return house.digest


# Every step once: a refresh is killed at the first, the one that resumes it at the second, and so on.
KILLED = [
    ("snapshot", "embed, one model", "recall", "evaluate", "publish, nothing sealed", "publish, half active"),
    ("snapshot, written", "embed", "rank", "publish, models", "publish, checksums", "publish, sealed"),
    ("publish, manifest written", "publish, active"),
    ("publish, bookkeeping out", "project"),
]


def test_every_step_is_killed_at() -> None:
    assert sorted(step for steps in KILLED for step in steps) == sorted(STEPS)


@pytest.mark.parametrize("steps", KILLED, ids=" then ".join)
def test_a_refresh_killed_step_after_step_resumes_to_the_same_release(steps, changed, undisturbed, own_house):
    house = own_house(source=changed)
    before = house.releases.current()
    for i, step in enumerate(steps):
        where, call = STEPS[step]
        house.killed("refresh", *["--resume"][:i], where=where, call=call)
        active = step in {"publish, half active", "publish, active", "project"}
        assert (house.releases.current() != before) == active
    resumed = house.segue("refresh", "--resume", "--json").json
    assert house.digest == undisturbed
    assert resumed["release"] == house.releases.current() != before
    assert resumed["projected"]
    assert house.segue("release", "verify").status == 0
    assert not house.releases.building.exists()


def test_a_kill_while_sealing_leaves_no_manifest_that_other_settings_would_trip_over(changed, own_house):
    house = own_house(source=changed)
    house.killed("refresh", where="graph.release:write_text+")
    assert (house.releases.building / "manifest.json").exists()
    house.settle(sections=QUICK.replace("reserve = 0.1", "reserve = 0.1\nn = 12", 1))  # ranking is done anew
    report = house.segue("refresh", "--resume", "--json").json
    steps = {step["name"]: step["status"] for step in report["steps"]}
    assert (steps["embed"], steps["rank"], report["published"]) == ("skipped", "ran", True)


def test_a_sealed_release_that_is_damaged_is_set_aside_and_made_again(changed, undisturbed, own_house):
    house = own_house(source=changed)
    house.killed("refresh", where="graph.release:Releases.activate")
    sealed = house.releases.interrupted()
    file = next((house.releases.path(sealed) / "ranking").rglob("*.bin"))
    size = file.stat().st_size
    file.unlink()
    file.write_bytes(b"x" * size)
    ran = house.segue("refresh", "--json")
    assert ran.json["published"]
    assert "release set aside" in ran.err
    assert (house.releases.root / f".damaged-{sealed}").is_dir()
    assert house.digest == undisturbed
    assert house.segue("release", "verify").status == 0


def test_a_failed_step_is_reported_as_json_too(house):
    ran = house.segue("refresh", "--only", "rank", "--json")
    assert house.segue("refresh", "--only", "dance", "--json").status == 2
    assert ran.status == 0  # nothing to do: it is the release's own
    with house.log() as log:
        log.append([{"user_id": "late", "action": "play", "song_id": "s"}])
    ran = house.segue("refresh", "--only", "rank", "--json")
    assert ran.status == 2
    report = json.loads(ran.out)
    assert report["reason"] == "step snapshot has to run before rank: run `segue refresh`"
    assert (report["published"], report["steps"]) == (False, [])
    assert ran.err == f"segue: {report['reason']}\n"


def test_a_projection_that_fails_leaves_what_was_published(changed, own_house):
    house = own_house(source=changed)
    house.killed("refresh", where="graph.release:Releases.activate")
    sealed = house.releases.interrupted()
    text = house.config.read_text()
    house.config.write_text(text.replace(f"embedded:{house.graph}", "bolt://127.0.0.1:1"))
    ran = house.segue("refresh", "--json")
    assert ran.status == 1
    report = json.loads(ran.out)
    assert (report["release"], report["published"], report["projected"]) == (sealed, True, False)
    assert {step["name"]: step["status"] for step in report["steps"]}["project"] == "failed"
    assert ran.err.splitlines()[-1] == f"segue: {report['reason']}"
    house.config.write_text(text)
    again = house.segue("refresh", "--json").json
    assert (again["release"], again["published"], again["projected"]) == (sealed, False, True)


def test_what_was_done_before_the_kill_is_not_done_again(changed, own_house):
    house = own_house(source=changed)
    house.killed("refresh", where="ranking.learning:Learner.rank+")
    steps = {step["name"]: step["status"] for step in house.segue("refresh", "--resume", "--json").json["steps"]}
    assert [steps[name] for name in ("snapshot", "embed", "recall")] == ["skipped"] * 3
    assert [steps[name] for name in ("rank", "evaluate", "publish", "project")] == ["ran"] * 4


def test_an_option_of_the_reranker_makes_a_release_and_trains_nothing(own_house):
    house = own_house()
    house.settle(sections="[refresh]\nmargin = 0.99\n[scenes.radio.rerankers.mmr]\nbalance = 0.5")
    report = house.segue("refresh", "--json").json
    steps = {step["name"]: step["status"] for step in report["steps"]}
    assert {steps[name] for name in ("snapshot", "embed", "recall", "rank")} == {"skipped"}
    assert (steps["evaluate"], report["published"]) == ("ran", True)
    assert house.release.manifest["settings"]["scenes"]["radio"]["rerankers"]["mmr"]["options"] == {"balance": 0.5}


def test_resuming_goes_on_with_the_inputs_of_the_run_that_was_killed(changed, undisturbed, own_house):
    house = own_house(source=changed)
    house.killed("refresh", where="ranking.learning:Learner.rank+")
    with house.log() as log:
        log.append([{"user_id": "late", "action": "play", "song_id": house.release.snapshot.ids["Song"][0]}])
    house.segue("refresh", "--resume")
    assert house.digest == undisturbed


def test_a_killed_projection_leaves_the_graph_whole_after_the_next(changed, own_house):
    house = own_house(source=changed)
    house.segue("cypher", "MATCH (:User)-[r:LISTENED]->(:Song) DELETE r", "--write")
    assert house.segue("graph", "stats", "--json").json["relationships"]["LISTENED"] == 0
    house.killed("refresh", where="graph.store.store:GraphStore.replace_derived+", call=2)
    assert house.segue("refresh", "--resume", "--json").json["projected"]
    counts = house.segue("graph", "stats", "--json").json["relationships"]
    snapshot = house.release.snapshot
    for relation in ("LISTENED", "COLLECTED", "LIKED"):
        assert counts[relation] == len(snapshot.relation(relation))


def test_the_service_answers_from_the_old_release_while_refreshes_are_killed(changed, undisturbed, own_house, poll):
    house = own_house(source=changed)
    old = house.releases.current()
    listener = house.release.snapshot.ids["User"][4]
    with house.serve() as server:

        def ask():
            # recall logs no exposures, which would be data that the undisturbed house does not have
            answer = server.get(f"/v1/recall/popularity?user_id={listener}&k=10")
            return answer.status_code, answer.json().get("release"), len(answer.json().get("candidates", ()))

        with poll(ask) as during:
            for step in ("snapshot", "embed", "recall", "rank", "evaluate", "publish, sealed"):
                where, call = STEPS[step]
                house.killed("refresh", "--resume", where=where, call=call)
                if step == "publish, sealed":
                    break
        assert set(during.answers) == {(200, old, 10)}
        assert len(during.answers) >= 10
        with poll(ask) as after:
            assert house.segue("refresh", "--resume", "--json").json["published"]
        assert {status for status, _, _ in after.answers} == {200}
        assert house.digest == undisturbed


def test_the_same_data_give_the_same_digest_in_another_folder(pristine, own_house):
    digests = set()
    for _ in range(2):
        house = own_house(source=pristine)
        assert house.segue("refresh", "--json").json["published"]
        digests.add(house.digest)
    assert len(digests) == 1


def test_another_seed_gives_another_digest(pristine, own_house, refreshed):
    house = own_house(source=pristine)
    house.settle(more="seed = 1")
    assert house.segue("refresh", "--json").json["published"]
    assert house.digest != refreshed.digest


def test_an_unchanged_refresh_publishes_nothing(house):
    before = house.releases.ids()
    report = house.segue("refresh", "--json").json
    assert (report["published"], report["reason"]) == (False, "nothing has changed")
    assert {step["status"] for step in report["steps"]} == {"skipped"}
    assert house.releases.ids() == before


def test_a_full_refresh_of_unchanged_data_is_the_same_release(lone_house):
    house = lone_house
    before = house.releases.ids()
    report = house.segue("refresh", "--full", "--json").json
    assert (report["published"], report["reason"]) == (False, "the same release as before")
    assert house.releases.ids() == before


def test_a_few_new_events_update_the_vectors_and_a_full_refresh_trains_them_anew(changed, own_house):
    house = own_house(source=changed)
    house.settle(sections=f"{QUICK}[embed.update]\nshare = 0.5")  # few, for a log this small
    first = house.releases.current()
    updated = house.segue("refresh", "--json").json
    assert updated["published"]
    manifest = house.segue("release", "show", "--json").json
    assert manifest["steps"]["embed.song2vec"]["notes"] == {"training": "update", "updates": 1}
    assert manifest["base"]["id"] == first
    drift = house.segue("release", "diff", first, "--json").json["drift"]["song2vec"]
    assert drift["mean_cosine"] > 0.99
    assert house.segue("refresh", "--json").json["reason"] == "nothing has changed"
    full = house.segue("refresh", "--full", "--json").json
    assert full["published"]
    manifest = house.segue("release", "show", "--json").json
    assert manifest["steps"]["embed.song2vec"]["notes"] == {"training": "full", "updates": 0}
    assert house.segue("refresh", "--json").json["reason"] == "nothing has changed"
    again = house.segue("refresh", "--full", "--json").json
    assert (again["published"], again["reason"]) == (False, "the same release as before")


def test_one_step_runs_alone_when_its_inputs_are_there(changed, own_house):
    house = own_house(source=changed)
    stale = house.segue("refresh", "--only", "rank")
    assert stale.status == 2
    assert stale.err.startswith("segue: step snapshot has to run before rank")
    assert house.segue("refresh", "--only", "snapshot", "--json").status == 0
    assert house.segue("refresh", "--only", "rank").status == 2
    alone = house.segue("refresh", "--only", "embed", "--json").json
    assert {s["name"]: s["status"] for s in alone["steps"]} == {"snapshot": "skipped", "embed": "ran"}
    assert not alone["published"]


def test_an_unknown_step_is_named(house):
    ran = house.segue("refresh", "--only", "dance")
    assert ran.status == 2
    assert "unknown step 'dance'" in ran.err


def test_a_release_below_its_parent_is_kept_back(lone_house):
    """A candidate that shows nothing new to anybody measures worse than its parent, on the same listeners."""
    house, before = lone_house, lone_house.releases.current()
    worse = "[scenes.radio]\nranker = 'fused'\n[scenes.radio.channels.again]\nquota = 10\n"
    worse += "\n".join(f"[scenes.radio.channels.{name}]\nquota = 0" for name in default_channels())
    house.settle(sections=worse + "\n[refresh]\nmargin = 0.0\nmin_listeners = 5")
    ran = house.segue("refresh", "--json")
    assert ran.status == 1
    report = json.loads(ran.out)
    assert report["published"] is False
    assert report["reason"].startswith("worse than its parent beyond chance and the margin of 0%: ndcg@10 ")
    assert house.releases.current() == before
    gate = json.loads((house.releases.path(report["release"]) / "manifest.json").read_text())["gate"]
    assert (gate["decision"], gate["reason"]) == ("kept back", report["reason"])
    assert gate["low"] < gate["difference"] < gate["high"] < 0
    assert gate["listeners"] >= 5
    held = house.releases.ids()
    assert report["release"] == house.releases.kept_back() == held[-1]
    assert_everybody_knows(house, report)
    for how, status in (("--resume", "skipped"), ("--full", "ran")):
        again = house.segue("refresh", how, "--json").json  # exit status 0: nobody needs to be told once more
        assert (again["release"], again["published"]) == (report["release"], False)
        assert report["release"] in again["reason"]
        assert report["reason"] in again["reason"]
        assert {s["status"] for s in again["steps"] if s["name"] not in {"publish", "project"}} == {status}
        assert house.releases.ids() == held
        assert house.releases.current() == before
    house.settle(sections=worse + "\n[refresh]\nmargin = 0.99\nmin_listeners = 5")
    allowed = house.segue("refresh", "--json").json
    assert allowed["published"]
    assert allowed["reason"].startswith("not worse than its parent beyond chance and the margin of 99%: ")
    assert {step["status"] for step in allowed["steps"]} == {"skipped", "ran"}
    assert house.digest.startswith(report["release"].split("-")[1])


def assert_everybody_knows(house, report):
    """The command line, REST and `doctor` say that a newer release is kept back, and why."""
    answer = house.segue("recommend", "u", "--json").json
    assert answer["release"] == house.releases.current()
    assert report["reason"] in answer["note"]
    assert report["release"] in house.segue("doctor", "--json").out
    with house.serve() as server:
        assert server.get("/readyz").json()["kept_back"] == {"release": report["release"], "reason": report["reason"]}


def test_a_second_refresh_is_refused_while_one_runs(house):
    first = house.halted("refresh", "--full", where="ranking.learning:Learner.rank+")
    second = house.segue("refresh")
    assert second.status == 1
    assert "another process works on" in second.err
    first.kill()
    first.wait(10)
    assert house.segue("refresh").status == 0


def test_ctrl_c_ends_a_refresh_with_130_and_it_resumes(changed, undisturbed, own_house):
    house = own_house(source=changed)
    process = house.halted("refresh", where="ranking.learning:Learner.rank+")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "segue: interrupted"
    assert "Traceback" not in err
    house.segue("refresh", "--resume")
    assert house.digest == undisturbed


def test_an_empty_graph_says_what_to_do(tmp_path, house):
    house.graph = tmp_path / "empty"
    (house.folder / "events.db").unlink()
    house.settle()
    ran = house.segue("refresh", "--full")
    assert ran.status == 1
    assert "segue import" in ran.err
    assert "Traceback" not in ran.err
