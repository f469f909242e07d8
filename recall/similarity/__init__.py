"""The nearest songs of a song, and the nearest artists, tags and genres."""
