import sys
from pathlib import Path

import pytest

from graph.errors import SettingsError
from graph.units import Family, file_names

HELLO = (
    "from dataclasses import dataclass\n"
    "@dataclass(frozen=True)\nclass HelloConfig:\n    times: int = 1\n"
    "class Hello:\n    def greet(self): ...\n    def leave(self): ...\n"
)
GREETERS = Family("greeter", "greeters", ("greet", "leave"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `greeters` with one unit `hello`, and a file that helps."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "greeters"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = tmp_path / "greeters"
    made.mkdir()
    (made / "__init__.py").touch()
    (made / "hello.py").write_text(HELLO)
    (made / "_help.py").write_text("raise RuntimeError('nobody asked')\n")
    return made


def test_units_are_files_without_an_underscore(folder: Path) -> None:
    assert GREETERS.names() == file_names("greeters") == ["hello"]


def test_a_unit_is_the_class_that_has_the_members_with_its_config(folder: Path) -> None:
    found = GREETERS.unit("hello")
    assert (found.name, found.class_.__name__, found.config.__name__) == ("hello", "Hello", "HelloConfig")
    assert found.configure({"times": 3}).times == 3


def test_helpers_imported_and_private_classes_are_no_units(folder: Path) -> None:
    more = (
        "class _Hidden(Hello): ...\nclass Deaf:\n    def greet(self): ...\nfrom greeters.hello import Hello as Other\n"
    )
    (folder / "second.py").write_text(HELLO.replace("Hello", "Second") + more.replace("(Hello)", "(Second)"))
    assert GREETERS.unit("second").class_.__name__ == "Second"


def test_a_class_from_outside_is_named_by_its_module_and_name(folder: Path) -> None:
    two = HELLO + HELLO.replace("Hello", "Bye")
    (folder / "outside.py").write_text(two)
    (folder / "again.py").write_text("from greeters.outside import Bye\n")
    for where in ("greeters.outside:Bye", "greeters.again:Bye"):
        found = GREETERS.unit("mine", where)
        assert (found.name, found.class_.__name__, found.config.__name__) == ("mine", "Bye", "ByeConfig")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"greeter 'mine': greeters\.mine must hold one class with `greet` and `leave` \(found 0\)"),
        (HELLO.replace("leave", "stay"), r"with `greet` and `leave` \(found 0\)"),
        (HELLO + HELLO.replace("Hello", "Bye"), r"must hold one class with .* \(found 2\)"),
        (HELLO.replace("HelloConfig", "Config"), "has no HelloConfig that is a frozen dataclass"),
        (HELLO.replace("frozen=True", ""), "has no HelloConfig that is a frozen dataclass"),
        (HELLO.replace("int = 1", "int"), r"HelloConfig\.times has no default"),
        ("1 / 0", r"cannot import greeters\.mine \(division by zero\)"),
    ],
)
def test_a_file_that_holds_no_unit_is_refused(folder: Path, text: str, said: str) -> None:
    (folder / "mine.py").write_text(text)
    with pytest.raises(SettingsError, match=said):
        GREETERS.unit("mine")


@pytest.mark.parametrize("name", ["hallo", "_help", "__init__", ""])
def test_an_unknown_name_is_refused_with_the_known_ones(folder: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=rf"unknown greeter '{name}' \(known: hello\)"):
        GREETERS.unit(name)


@pytest.mark.parametrize(
    ("name", "use", "said"),
    [
        ("mine", "nowhere:Hello", "cannot import nowhere"),
        ("mine", "greeters.hello:Bye", r"must hold one class Bye with .* \(found 0\)"),
        ("mine", "greeters.hello:HELLO", r"found 0"),
        ("../mine", "greeters.hello:Hello", r"name is of letters, digits, - and _ \(got '../mine'\)"),
    ],
)
def test_a_class_from_outside_that_is_none_is_refused(folder: Path, name: str, use: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        GREETERS.unit(name, use)


def test_an_unusable_option_is_refused_by_the_name_of_its_place(folder: Path) -> None:
    unit = GREETERS.unit("hello")
    with pytest.raises(SettingsError, match=r"^greeter hello: unknown option 'tims' \(known: times\)"):
        unit.configure({"tims": 1})
    with pytest.raises(SettingsError, match=r"^here: times must be int"):
        unit.configure({"times": "x"}, "here")
