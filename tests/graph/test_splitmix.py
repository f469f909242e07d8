import numpy as np

from graph.splitmix import GOLDEN, mix

# The first five numbers of splitmix64.c, the reference, seeded with 1234567
FIRST = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_gives_the_numbers_of_the_reference() -> None:
    with np.errstate(over="ignore"):
        states = np.uint64(1234567) + GOLDEN * np.arange(1, 6, dtype=np.uint64)
    assert mix(states).tolist() == FIRST
    with np.errstate(over="ignore"):
        assert int(mix(states[3])) == FIRST[3]
