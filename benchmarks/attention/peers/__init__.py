"""Implementations of attention that the benchmark runs, one a module."""
