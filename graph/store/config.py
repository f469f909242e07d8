"""Where the graph is: apart from the store, so that settings are read without a driver."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from graph.configure import check_positive


@dataclass(frozen=True)
class GraphConfig:
    """Where the graph is, and who may ask; `[graph]` of the settings.

    Raises: ValueError if `query_timeout_s` is not more than 0, or `linger_s` is less than 0 or infinite.
    """

    url: str = "embedded:var/graph"
    """Address: "embedded:FOLDER" for the embedded server, or one of Bolt: bolt://, neo4j://, neo4j+s://."""
    user: str = "neo4j"
    """Login that may write. The embedded server makes its own logins."""
    password: str = field(default="", repr=False)
    """Password of that login."""
    database: str | None = None
    """Name of the database on the server; None for the login's own."""
    reader_user: str = ""
    """Login without the right to write, for queries from outside. Without one the writer's login is used with READ
    access mode, which Neo4j keeps."""
    reader_password: str = field(default="", repr=False)
    """Password of the reading login."""
    heap: str = "1g"
    """Memory of the embedded server, such as "512m" or "2g"."""
    query_heap: str = "512m"
    """Memory of each process in which the embedded server runs queries from outside whose values may grow, such as
    "512m"; there are two at most, started when first needed."""
    linger_s: float = 180.0
    """Seconds, 0 or more, that the embedded server stays after its last user has gone: the next command need not start
    one."""
    query_timeout_s: float = 30.0
    """Seconds after which a query is given up, above 0."""

    def __post_init__(self) -> None:
        check_positive(self, "query_timeout_s")
        if not 0 <= self.linger_s < math.inf:
            raise ValueError(f"linger_s must be 0 or more, and finite (got {self.linger_s})")
