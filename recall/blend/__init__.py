"""One pool out of many channels."""
