"""Where `recompute` was; see `ops.backend.remat`."""

from keras_performer.ops.backend import remat as recompute

__all__ = ["recompute"]
