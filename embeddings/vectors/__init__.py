"""What a release holds of a model; alignment; incremental updates."""
