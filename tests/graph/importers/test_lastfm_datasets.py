"""`lastfm-1k` and `lastfm-360k`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from graph.batch import Batch

Read = Callable[..., Batch]
PROFILES = "#id\tgender\tage\tcountry\tregistered\nu1\tm\t30\tJapan\tAug 13, 2006\nu2\t\tx\t\tsoon\n"


def test_plays_and_profiles_of_the_thousand(tmp_path: Path, read: Read) -> None:
    rows = (
        "u1\t2009-04-08T01:57:47Z\tart-1\tAna\trec-1\tRío",
        'u1\t2009-04-08T01:57:47Z\t\tBoats\t\t12" Sea',
        "u2\tnoon\tart-1\tAna\trec-1\tRío",
        "\t2009-04-08T01:57:47Z\tart-1\tAna\trec-1\tRío",
        "u2\t2009-04-08T01:57:47Z\t\t\t\tSea",
    )
    (tmp_path / "userid-timestamp-artid-artname-traid-traname.tsv").write_text("\n".join(rows))
    (tmp_path / "userid-profile.tsv").write_text(PROFILES)
    batch = read("lastfm-1k", tmp_path)
    assert batch.events.select("user_id", "song_id", "at").rows() == [
        ("u1", "rec-1", 1_239_155_867_000),
        ("u1", 'boats%0912" sea', 1_239_155_867_000),
        ("u2", "rec-1", None),
    ]
    assert batch.nodes["User"].select("id", "gender", "birth_year", "joined_at").rows() == [
        ("u1", "m", 1976, 1_155_427_200_000),
        ("u2", None, None, None),
    ]
    assert batch.rejects["line"].to_list() == [4, 5]
    assert batch.lost["field"].to_list() == ["signup", "age", "time"]
    assert "userid-profile.tsv: the countries of 1 listeners have no place" in batch.warnings[0]


def test_counts_of_the_360_thousand(tmp_path: Path, read: Read) -> None:
    rows = ("u1\tart-1\tAna\t48", "u1\t\tAC/DC\t 7", "u1\t\tNobody\t0", "u2\t\t\t5", "u2\t\tAna\tmany")
    (tmp_path / "usersha1-artmbid-artname-plays.tsv").write_text("\n".join(rows))
    batch = read("lastfm-360k", tmp_path)
    assert batch.events.select("user_id", "song_id", "count", "at").rows() == [
        ("u1", "art-1", 48, None),
        ("u1", "ac%2Fdc", 7, None),
    ]
    assert batch.nodes["Song"].select("id", "title").rows() == batch.nodes["Artist"].rows()
    assert batch.rejects["line"].to_list() == [3, 4, 5]
