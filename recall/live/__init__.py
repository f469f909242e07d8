"""What has happened since the release: counters, new songs, edits."""
