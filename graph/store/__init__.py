"""The graph store: one client over Bolt, and the embedded server."""
