"""What is known: the graph, the event log, the snapshot that models read and the release that serving reads."""
