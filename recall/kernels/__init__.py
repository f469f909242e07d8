"""Compiled inner loops that channels, the merge, the features and the re-ranker share; each has a plain model in
`tests/recall/test_kernels.py`."""
