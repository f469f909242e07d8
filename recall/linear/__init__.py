"""Linear models of listeners x songs: EASE, listener kernel, graph filters, walks."""
