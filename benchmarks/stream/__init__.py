"""A step of a causal layer far into a stream."""
