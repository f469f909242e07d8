"""Factorisations and towers, one a file."""
