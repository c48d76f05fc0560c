"""Every format a model is saved in, read where nothing but the package is imported."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from layer_inputs import attention
from tolerances import assert_close

import keras_performer

VOCABULARY, FEATURES = 11, 6
LENGTHS = (7, 1100)  # less than a chunk, and more than the largest one
# A feature map, and whether attention is causal.
FEW = [("softmax", False), ("relu", True)]
ALL = [*FEW, ("softmax", True), ("relu", False), ("favor_sharp", False)]

SCRIPT = """
import sys
from pathlib import Path

import keras_performer

import keras
import numpy as np


def of_keras(path):
    return keras.saving.load_model(path).predict


def of_weights(path):
    model = keras.models.model_from_json(path.with_suffix(".json").read_text())
    model.load_weights(path)
    return model.predict


def of_saved_model(path):
    import tensorflow as tf

    model = tf.saved_model.load(path)
    return lambda batch, verbose: [x.numpy() for x in model.serve(batch)]


def of_litert(path):
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    (tokens,) = interpreter.get_input_details()
    names = interpreter.get_signature_list()["serving_default"]["outputs"]

    def predict(batch, verbose):
        interpreter.resize_tensor_input(tokens["index"], batch.shape, strict=True)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner("serving_default")
        (name,) = runner.get_input_details()
        outputs = runner(**{name: batch})
        return [outputs[name] for name in sorted(names)]

    return predict


READERS = {
    ".keras": of_keras, ".h5": of_weights, ".tflite": of_litert, "": of_saved_model
}
with np.load(sys.argv[1]) as arrays:
    batches = list(arrays.values())
for path in map(Path, sys.argv[2:]):
    # What Orbax writes is a folder as well, and of Keras.
    read = of_keras if path.name == "orbax" else READERS[path.suffix]
    predict = read(path)
    outputs = {
        f"{i}_{j}": x
        for i, batch in enumerate(batches)
        for j, x in enumerate(predict(batch, verbose=0))
    }
    np.savez(f"{path}.npz", **outputs)
"""


def attentions(kinds):
    """A model with an output for each kind of attention; some tokens are padding."""
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(VOCABULARY, FEATURES, mask_zero=True)(tokens)
    outputs = []
    for feature_map, use_causal_mask in kinds:
        layer = attention(
            num_heads=4,
            num_key_value_heads=2,
            num_features=None,
            seed=None,
            feature_map=feature_map,
            name=f"{feature_map}_{'causal' if use_causal_mask else 'bidirectional'}",
        )
        outputs.append(layer(x, x, use_causal_mask=use_causal_mask))
    return keras.Model(tokens, outputs)


@pytest.fixture
def batches():
    generator = np.random.default_rng(0)
    return [generator.integers(0, VOCABULARY, (3, n)).astype("int32") for n in LENGTHS]


def check(model, paths, batches, folder, equal=np.array_equal):
    """Compares what another process answers, from the files, with what a model does."""
    np.savez(folder / "batches.npz", *batches)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder / "batches.npz", *paths],
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(keras_performer.__file__).parents[1]),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = [layer.name for layer in model.layers[2:]]
    for i, batch in enumerate(batches):
        expected = dict(zip(names, model.predict(batch, verbose=0), strict=True))
        for path in paths:
            with np.load(f"{path}.npz") as arrays:
                for j, name in enumerate(names):
                    same = equal(arrays[f"{i}_{j}"], expected[name])
                    assert same, f"{path.name}, {name}, length {batch.shape[1]}"


def is_close(a, b):
    assert_close(a, b)
    return True


def test_weights_alone_and_saved_models_are_bit_equal(batches, tmp_path):
    model = attentions(FEW)
    weights = tmp_path / "model.weights.h5"
    model.save_weights(weights)
    weights.with_suffix(".json").write_text(model.to_json())
    paths = [weights]
    if keras.backend.backend() == "tensorflow":
        paths.append(tmp_path / "saved_model")
        model.export(paths[-1], format="tf_saved_model", verbose=False)
    check(model, paths, batches, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a format of TensorFlow's"
)
def test_litert_takes_any_length_with_its_own_operations(batches, tmp_path):
    model = attentions(ALL)
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "model.tflite"
    own = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    model.export(path, format="litert", verbose=False, target_spec=own)
    shorter = [batches[0][:1, :1], *batches]
    check(model, [path], shorter, tmp_path, equal=is_close)


def test_orbax(batches, tmp_path):
    pytest.importorskip("orbax.checkpoint", reason="pip install orbax-checkpoint")
    model = attentions(FEW)
    model.compile("sgd", "mse", jit_compile=False)
    targets = model.predict(batches[0], verbose=0)
    checkpoint = keras.callbacks.OrbaxCheckpoint(tmp_path / "orbax", monitor="loss")
    model.fit(batches[0], targets, verbose=0, callbacks=[checkpoint])
    check(model, [tmp_path / "orbax"], batches, tmp_path)
