"""In what order: rankers, re-rankers, metrics, and the cascade from a query to a slate."""
