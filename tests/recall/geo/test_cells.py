import h3
import numpy as np
import pytest
from segue_test_worlds import NOW, World, edges, events, lopsided_snapshot, nodes

from recall.geo.cells import UNKNOWN_CELL, around, cell_at, distance_km, home_cells, homes, ring, spacing_km

VIENNA, LINZ, GRAZ = (48.2082, 16.3738), (48.3069, 14.2858), (47.0707, 15.4395)


@pytest.mark.parametrize("resolution", range(10))
def test_wider_cells_are_those_of_h3(resolution: int) -> None:
    rng = np.random.default_rng(resolution)
    points = zip(rng.uniform(-90, 90, 200).tolist(), rng.uniform(-180, 180, 200).tolist(), strict=True)
    fine = [h3.latlng_to_cell(*point, 9) for point in points]
    expected = [h3.str_to_int(h3.cell_to_parent(cell, resolution)) for cell in fine]
    assert around(np.array([h3.str_to_int(cell) for cell in fine]), resolution).tolist() == expected


def test_an_unknown_cell_stays_unknown() -> None:
    assert around(np.array([0, cell_at(*VIENNA, 9)]), 5).tolist() == [UNKNOWN_CELL, cell_at(*VIENNA, 5)]


def test_rings_go_outwards() -> None:
    middle = cell_at(*VIENNA, 7)
    assert [len(ring(middle, step)) for step in range(3)] == [1, 6, 12]
    assert not set(ring(middle, 1)) & set(ring(middle, 2))


def test_cells_of_resolution_7_are_some_2_4_km_apart() -> None:
    middle = h3.int_to_str(cell_at(*VIENNA, 7))
    apart = [h3.great_circle_distance(h3.cell_to_latlng(middle), h3.cell_to_latlng(c)) for c in h3.grid_ring(middle, 1)]
    assert spacing_km(7) == pytest.approx(np.mean(apart), rel=0.2)


def test_home_is_what_the_catalogue_says_else_where_most_happened() -> None:
    users = nodes(
        ["ana", "ben", "cy", "dan"], latitude=[VIENNA[0], None, None, None], longitude=[VIENNA[1], None, None, None]
    )
    tables = {"User": users, "Place": nodes(["here"], latitude=[LINZ[0]], longitude=[LINZ[1]])}
    lives = edges({("LIVES_IN", "User", "Place"): [("ana", "here"), ("ben", "here"), ("dan", "nowhere")]})
    where = [("ben", GRAZ), ("cy", VIENNA), ("cy", GRAZ), ("cy", GRAZ)]
    log = events([(user, "play", "s1", NOW, 1, None, None, *point) for user, point in where])
    home, given = homes(lopsided_snapshot(node_tables=tables, edge_tables=lives, log=log), 7)
    assert home.tolist() == [cell_at(*VIENNA, 7), cell_at(*LINZ, 7), cell_at(*GRAZ, 7), UNKNOWN_CELL]
    assert given.tolist() == [True, True, False, False]


def test_distances_are_from_the_middle_of_a_cell() -> None:
    assert distance_km(cell_at(*VIENNA, 7), *LINZ) == pytest.approx(155, abs=3)
    assert distance_km(UNKNOWN_CELL, *LINZ) == float("inf")


def test_homes_that_were_prepared_are_taken_where_they_are_as_fine(lopsided: World) -> None:
    prepared, _ = home_cells(lopsided.release, 7)
    assert np.shares_memory(prepared, lopsided.release.arrays("recall/lbs/homes")[0]["home"])
    computed, given = home_cells(lopsided.release, 5)
    assert [column.tolist() for column in (computed, given)] == [c.tolist() for c in homes(lopsided.snapshot, 5)]
