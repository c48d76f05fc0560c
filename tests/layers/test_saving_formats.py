"""Every format a model is saved in, read where nothing but the package is imported."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from layer_inputs import attention, draw, numpy
from tolerances import assert_close

import keras_performer
from keras_performer.layers import (
    FastAttention,
    MaskedAveragePooling,
    PerformerEncoder,
    SinePositionEncoding,
)
from keras_performer.models import PerformerBackbone

VOCABULARY, FEATURES = 11, 6
LENGTHS = (7, 1100)  # less than a chunk, and more than the largest one
ROTARY = {"rotary_base": 100, "key_dim": 4}
# Arguments of a layer, and of its call.
FEW = [({}, {}), ({"feature_map": "relu"}, {"use_causal_mask": True})]
SEQUENCES = [
    (ROTARY, {}),
    ({**ROTARY, "exact_window": 5}, {"use_causal_mask": True}),
    ({"exact_window": 5}, {}),
    ({}, {"packed": True}),
    (ROTARY, {"packed": True, "use_causal_mask": True}),
    ({"exact_window": 5}, {"packed": True, "use_causal_mask": True}),
]
ALL = [
    *FEW,
    ({}, {"use_causal_mask": True}),
    ({"feature_map": "relu"}, {}),
    ({"feature_map": "favor_sharp"}, {}),
    ({"forget_gate": True, "normalize_heads": True}, {"use_causal_mask": True}),
    ({"forget_gate": True}, {}),
    *SEQUENCES,
]
OF_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a format of TensorFlow's"
)

SCRIPT = """
import sys
from pathlib import Path

import keras_performer

import keras
import numpy as np


def of_keras(path):
    return keras.saving.load_model(path)


def of_weights(path):
    model = keras.models.model_from_json(path.with_suffix(".json").read_text())
    model.load_weights(path)
    return model


def of_saved_model(path):
    import tensorflow as tf

    model = tf.saved_model.load(path)
    return lambda batch: model.serve(batch)


def of_litert(path):
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    (tokens,) = interpreter.get_input_details()
    names = interpreter.get_signature_list()["serving_default"]["outputs"]

    def predict(batch):
        interpreter.resize_tensor_input(tokens["index"], batch.shape, strict=True)
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner("serving_default")
        (name,) = runner.get_input_details()
        outputs = runner(**{name: batch})
        return [outputs[name] for name in sorted(names, key=lambda x: (len(x), x))]

    return predict


READERS = {
    ".keras": of_keras, ".h5": of_weights, ".tflite": of_litert, "": of_saved_model
}
with np.load(sys.argv[1]) as arrays:
    batches = list(arrays.values())
for path in map(Path, sys.argv[2:]):
    # What Orbax writes is a folder as well, and of Keras.
    predict = (of_keras if path.name == "orbax" else READERS[path.suffix])(path)
    # NumPy's files know no bfloat16; in float64 each value is still itself.
    outputs = {
        f"{i}_{j}": keras.ops.convert_to_numpy(x).astype("float64")
        for i, batch in enumerate(batches)
        for j, x in enumerate(keras.tree.flatten(predict(batch)))
    }
    np.savez(f"{path}.npz", **outputs)
"""


def attentions(kinds):
    """A model with an output for each kind of attention; some tokens are padding."""
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(VOCABULARY, FEATURES, mask_zero=True)(tokens)
    outputs = []
    for arguments, call in kinds:
        heads = {"num_heads": 4, "num_key_value_heads": 2, "num_features": None}
        layer = attention(**{**heads, "seed": None, **arguments})
        options = {"use_causal_mask": call.get("use_causal_mask", False)}
        if call.get("packed"):
            options["segment_ids"] = tokens // 4
        outputs.append(layer(x, x, **options))
    return keras.Model(tokens, outputs)


def layers():
    """A model with other layers, and with attention of other arguments."""
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(VOCABULARY, FEATURES, mask_zero=True)(tokens)
    positions = SinePositionEncoding(max(LENGTHS))(x)
    plain = keras.layers.Dense(FEATURES)(x)
    return keras.Model(
        tokens,
        [
            # Without seeds: what was drawn comes back from the file.
            attention(seed=None)(x, x),
            attention(feature_map="relu", num_features=None, use_gate=True)(plain, x),
            attention(projection="gaussian", value_dim=7)(x, x, use_causal_mask=True),
            attention(output_shape=(4, 3))(
                x[:, :5], plain, x, return_attention_scores=True
            ),
            FastAttention(3, 8, dtype="mixed_bfloat16")(x, x),
            MaskedAveragePooling()(PerformerEncoder(8, num_heads=2)(positions)),
        ],
    )


@pytest.fixture
def batches():
    generator = np.random.default_rng(0)
    return [generator.integers(0, VOCABULARY, (3, n)).astype("int32") for n in LENGTHS]


def check(predicts, batches, folder, equal=np.array_equal):
    """Compares what another process answers, from the files, with what is expected.

    Args:
        predicts: For each file, the function from a batch to what is expected. For
            bit-equality it is as the file's: in eager mode, or compiled.
    """
    np.savez(folder / "batches.npz", *batches)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder / "batches.npz", *predicts],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(keras_performer.__file__).parents[1]),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for path, predict in predicts.items():
        for i, batch in enumerate(batches):
            expected = keras.tree.flatten(predict(batch))
            with np.load(f"{path}.npz") as arrays:
                assert sum(name.startswith(f"{i}_") for name in arrays) == len(expected)
                for j, x in enumerate(expected):
                    same = equal(arrays[f"{i}_{j}"], numpy(x).astype("float64"))
                    assert same, f"{path.name}, output {j}, length {batch.shape[1]}"


def is_close(a, b):
    assert_close(a, b)
    return True


@pytest.mark.slow
def test_saved_models_are_bit_equal(batches, tmp_path):
    """Several formats in one process: to start it takes longer than all else."""
    whole, path = layers(), tmp_path / "model.keras"
    whole.save(path)
    model, weights = attentions(FEW), tmp_path / "model.weights.h5"
    model.save_weights(weights)
    weights.with_suffix(".json").write_text(model.to_json())
    check({path: whole, weights: model}, batches, tmp_path)


@pytest.mark.slow
@OF_TENSORFLOW
def test_a_saved_model_of_tensorflow_is_bit_equal(batches, tmp_path):
    model, path = attentions(FEW), tmp_path / "saved_model"
    model.export(path, format="tf_saved_model", verbose=False)
    predicts = {path: lambda batch: model.predict(batch, verbose=0)}
    check(predicts, batches, tmp_path)


@pytest.mark.slow
@OF_TENSORFLOW
def test_litert_takes_any_length_with_its_own_operations(batches, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model, path = attentions(ALL), tmp_path / "model.tflite"
    own = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    model.export(path, format="litert", verbose=False, target_spec=own)
    shorter = [batches[0][:1, :1], *batches]
    check({path: model}, shorter, tmp_path, equal=is_close)


@pytest.mark.slow
@OF_TENSORFLOW
@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("causal", [True, False])
def test_litert_takes_a_backbone_with_its_own_operations(causal, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = PerformerBackbone(100, 1, 2, 16, 32, causal=causal, seed=0)
    path, ids = (
        tmp_path / "model.tflite",
        np.arange(1, 140, dtype="int32").reshape(1, -1) % 99,
    )
    own = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    model.export(path, format="litert", verbose=False, target_spec=own)
    ids[:, 30:33] = 0
    counts = ids[0] != 0
    runner = tf.lite.Interpreter(str(path)).get_signature_runner("serving_default")
    (name,) = runner.get_input_details()
    (output,) = runner(**{name: ids}).values()
    assert_close(output[:, counts], numpy(model(ids))[:, counts])


@pytest.mark.slow
@OF_TENSORFLOW
@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize(
    "arguments", [{}, {**ROTARY, "exact_window": 3}, {"forget_gate": True}], ids=str
)
def test_litert_steps_through_a_stream(arguments, tmp_path):
    tf = pytest.importorskip("tensorflow")
    layer = attention(num_heads=4, num_key_value_heads=2, **arguments)
    x = draw(3, 9, FEATURES)
    whole = numpy(layer(x, x, use_causal_mask=True))
    state = layer.initial_state(3)

    def step(x, *parts):
        output, after = layer.step(x, keras.tree.pack_sequence_as(state, parts))
        return {"output": output} | named(keras.tree.flatten(after))

    def named(parts):
        return {f"state_{i}": part for i, part in enumerate(parts)}

    parts = named(keras.tree.flatten(state))
    specs = [tf.TensorSpec(v.shape, v.dtype, name) for name, v in parts.items()]
    archive = keras.export.ExportArchive()
    archive.track(layer)
    archive.add_endpoint(
        "step", step, [tf.TensorSpec((3, 1, FEATURES), name="x"), *specs]
    )
    archive.write_out(tmp_path, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    runner = interpreter.get_signature_runner("step")
    outputs = []
    parts = {name: numpy(part) for name, part in parts.items()}
    for t in range(x.shape[1]):
        parts = runner(x=x[:, t : t + 1], **parts)
        outputs.append(parts.pop("output"))
    assert_close(np.concatenate(outputs, axis=1), whole)


def test_orbax(batches, tmp_path):
    pytest.importorskip("orbax.checkpoint", reason="pip install orbax-checkpoint")
    model = attentions(FEW)
    model.compile("sgd", "mse", jit_compile=False)
    targets = model.predict(batches[0], verbose=0)
    checkpoint = keras.callbacks.OrbaxCheckpoint(tmp_path / "orbax", monitor="loss")
    model.fit(batches[0], targets, verbose=0, callbacks=[checkpoint])
    check({tmp_path / "orbax": model}, batches, tmp_path)
