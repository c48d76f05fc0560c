"""`compiled`: a function that reads a model's weights, compiled once per backend.

Beside `ops.scan`, the only code of this project that knows its backend.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from keras_performer.models.compiled.tensorflow import compiled
elif keras.backend.backend() == "jax":
    from keras_performer.models.compiled.jax import compiled
elif keras.backend.backend() == "torch":
    from keras_performer.models.compiled.torch import compiled
else:
    from keras_performer.models.compiled.uncompiled import compiled

__all__ = ["compiled"]
