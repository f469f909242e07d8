"""What the importers of listening histories share: files in folders and zips, entries, identity, plays."""
