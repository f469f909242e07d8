"""Names of scenes, channels and models in a request: an unknown one is a malformed field like any other, a 422."""

from __future__ import annotations

from collections.abc import Callable

from api.problems import UnknownName
from graph.errors import InvalidInput, SettingsError


def check_name(field: str, name: str, check: Callable[[str], None]) -> None:
    """Have the recommender check a name that stands in a field of the request ("body.scene").

    Raises: UnknownName; whatever else `check` raises, such as NotInRelease.
    """
    try:
        check(name)
    except (InvalidInput, SettingsError) as error:
        raise UnknownName(field, str(error)) from error
