"""Compiled inner loops that channels, the merge, the features and the re-ranker share; each has a plain model in
`tests/recall/test_kernels.py`.

Another kind of number in an argument is another compilation, a second in the midst of a request: callers hand over
positions as int64 and scores as float64 whatever they have.
"""
