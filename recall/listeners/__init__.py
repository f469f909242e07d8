"""A listener's history, profile and preferences."""
