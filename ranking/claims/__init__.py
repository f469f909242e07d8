"""Whether reasons are true: each claim is checked against the tables and the log, not by the code that made it."""
