"""Transforms: what their authors see, how they are loaded, and the worker processes that run them."""
