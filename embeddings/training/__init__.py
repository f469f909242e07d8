"""The training loop, losses and negatives that models share."""
