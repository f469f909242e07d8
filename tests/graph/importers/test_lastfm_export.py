from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from graph import schema
from graph.batch import Batch
from graph.errors import InvalidInput
from graph.importers.base import recognised

Read = Callable[..., Batch]
AT = 1_709_287_450_000  # 2024-03-01 10:04:10
MINUTE = 1_709_287_440_000
HEADED = (
    "uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid\n"
    '"1709287450","01 Mar 2024, 10:04","Boats","","Tides","","Sea, live",""\n'
    '"1709287700","01 Mar 2024, 10:08","Ana","art-1","","","Río","rec-1"\n'
)
BARE = 'boats,Tides,"SEA,  live",01 Mar 2024 10:04\nBoats,Tides,Low,02 Mar 2024 08:00\nBoats,,Old,\n'
TABBED = "Title\tArtist\tAlbum\tDate\tTimestamp\nSea, live\tBoats\tTides\t01 Mar 2024 10:04\t1709287450\n"


@pytest.mark.parametrize(
    ("text", "songs"),
    [
        (HEADED, [("boats%09sea, live", AT), ("rec-1", AT + 250_000)]),
        (BARE, [("boats%09sea, live", MINUTE), ("boats%09low", 1_709_366_400_000), ("boats%09old", None)]),
        (TABBED, [("boats%09sea, live", AT)]),
    ],
)
def test_scrobbles_of_each_layout(text: str, songs: list[tuple[str, int]], tmp_path: Path, read: Read) -> None:
    file = tmp_path / "scrobbles.csv"
    file.write_text(text, encoding="utf-8")
    assert recognised(file) == recognised(tmp_path) == "lastfm-export"
    batch = read("lastfm-export", tmp_path, user="vera")
    assert batch.events.select("song_id", "at").rows() == songs
    assert set(batch.events["user_id"]) == {"vera"}
    assert batch.rejects.is_empty()
    assert batch.lost.is_empty()


def test_files_that_tell_the_minute_only_overlap_with_those_that_tell_the_second(tmp_path: Path, read: Read) -> None:
    for name, text in {"a.csv": BARE, "b.csv": HEADED, "c.tsv": TABBED}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    batch = read("lastfm-export", tmp_path)
    assert batch.events.select("song_id", "at").rows() == [
        ("boats%09low", 1_709_366_400_000),
        ("boats%09old", None),
        ("boats%09sea, live", AT),
        ("rec-1", AT + 250_000),
    ]
    assert batch.nodes["Artist"].rows() == [("boats", "boats"), ("art-1", "Ana")]
    assert batch.relationships[schema.relationship("ON_ALBUM", "Song", "Album")].height == 2


def test_wrong_rows_and_times_are_told(tmp_path: Path, read: Read) -> None:
    header = HEADED.partition("\n")[0]
    rows = ("x,,Boats,,,,Sea,", "0,,Boats,,,,Sea,", ",soon,Boats,,,,Sea,", "1709287450,,,,,,Sea,", "1,2,3,4,5,6,7,8,9")
    file = tmp_path / "s.csv"
    file.write_text("\n".join((header, *rows)))
    batch = read("lastfm-export", file)
    assert batch.events["at"].to_list() == [None, None, None]
    assert batch.lost.select("line", "field").rows() == [(2, "uts"), (3, "at"), (4, "utc_time")]
    assert batch.rejects["line"].to_list() == [5, 6]


def test_a_table_of_something_else_is_refused(tmp_path: Path, read: Read) -> None:
    file = tmp_path / "s.csv"
    file.write_text("artist,date\nBoats,01 Mar 2024 10:04\n")
    with pytest.raises(InvalidInput, match="expected"):
        read("lastfm-export", file)
