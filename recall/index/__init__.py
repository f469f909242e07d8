"""The vector index: exact, approximate, filtered."""
