import pytest

from api.gammas import parse_gamma, parse_gammas
from graph.errors import InvalidInput


def test_relations_and_their_values() -> None:
    assert parse_gammas(["HAS_GENRE=2", "RELATED:a=b=-0.5"]) == {"HAS_GENRE": 2.0, "RELATED:a=b": -0.5}
    assert parse_gammas([]) == {}


@pytest.mark.parametrize("text", ["HAS_GENRE", "=1", "HAS_GENRE=", "HAS_GENRE=x", "HAS_GENRE=nan", "HAS_GENRE=-inf"])
def test_what_is_no_gamma_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"--gamma: expected RELATION=VALUE, got '{text}'"):
        parse_gammas([text])


def test_a_least_value() -> None:
    assert parse_gammas(["a=0"], least=0) == {"a": 0.0}
    with pytest.raises(InvalidInput, match="with a value of at least 0, got 'a=-1'"):
        parse_gammas(["a=-1"], least=0)


def test_a_query_parameter() -> None:
    assert parse_gamma("gamma.a", "1.5") == 1.5
    with pytest.raises(InvalidInput, match=r"gamma\.a: expected a finite number, got 'inf'"):
        parse_gamma("gamma.a", "inf")
