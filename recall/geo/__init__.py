"""H3 cells and sums over them."""
