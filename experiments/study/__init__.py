"""A comparison of methods on the same images: `python -m experiments.study`."""
