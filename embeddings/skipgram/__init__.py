"""Walks, the skip-gram loop, and the models made of both."""
