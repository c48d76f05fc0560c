"""`recompute`: a function whose backward pass computes it again, once per backend."""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_performer.ops.recompute.tensorflow import recompute
elif keras.backend.backend() == "jax":
    from keras_performer.ops.recompute.jax import recompute
elif keras.backend.backend() == "torch":
    from keras_performer.ops.recompute.torch import recompute
else:
    from keras_performer.ops.recompute.kept import recompute

__all__ = ["recompute"]
