"""Memory-mapped arrays of the whole graph and of every history."""
