"""A comparison of many methods on equal terms: `python -m experiments.study`."""
