"""Benchmarks: what measures this project; the commands are in README.md."""
