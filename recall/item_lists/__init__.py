"""The nearest songs of every song, stored as lists."""
