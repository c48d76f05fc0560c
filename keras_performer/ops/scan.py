"""Where `chunked_scan` was; see `ops.backend`."""

from keras_performer.ops.backend import chunked_scan

__all__ = ["chunked_scan"]
