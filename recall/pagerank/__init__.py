"""Personalised PageRank over follows."""
