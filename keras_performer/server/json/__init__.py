"""Requests and responses as JSON, byte for byte as TensorFlow Serving has them.

A body is parsed (`parser`), its values become tensors (`values`, `tensor`), and tensors
or an error become the body of the answer (`writer`).
"""
