"""SavedModels to serve in the tests, made with plain tf.Module."""

from pathlib import Path

import tensorflow as tf
from google.protobuf.json_format import ParseDict
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.config import model_server_config_pb2


def spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name)


class Everything(tf.Module):
    """One signature for each form of inputs and outputs.

    Args:
        offset: added by the signature `add`, to tell versions apart.
    """

    def __init__(self, offset=0.0):
        self.offset = tf.Variable(offset)
        self.labels = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer([0, 1], ["even", "odd"], tf.int64),
            default_value="?",
        )

    @tf.function(input_signature=[spec([None], tf.string, "text")])
    def documents(self, text):
        length = tf.strings.length(text)
        return {
            "label": self.labels.lookup(tf.cast(length % 2, tf.int64)),
            "length": length,
            "probabilities": tf.cast(
                tf.stack([3 - length % 2, 1 + length % 2], 1) / 4, tf.float32
            ),
            "text_bytes": text,
        }

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def add(self, x):
        return {"y": x + self.offset}

    @tf.function(input_signature=[spec([None, None], tf.int32, "token_ids")])
    def tokens(self, token_ids):
        return {"total": tf.reduce_sum(tf.cast(token_ids, tf.int64), 1)}

    @tf.function(
        input_signature=[
            spec([None, 3], tf.float32, "x"),
            spec([None], tf.float64, "scale"),
            spec([None], tf.bool, "negate"),
        ]
    )
    def mixed(self, x, scale, negate):
        sign = tf.where(negate, -1.0, 1.0)
        return {
            "y": x * sign[:, None] * tf.cast(scale, tf.float32)[:, None],
            "scale": scale,
            "negated": negate,
        }

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def uneven(self, x):
        return {"one": x, "two": tf.concat([x, x], 0)}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def mean(self, x):
        return {"mean": tf.reduce_mean(x)}

    @tf.function(input_signature=[spec([None], tf.string, "text")])
    def joined(self, text):
        return {"text": tf.strings.reduce_join(text) + "\0"}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def none(self, x):
        return {"y": x[:0]}

    @tf.function(input_signature=[spec([None], tf.float16, "x")])
    def half(self, x):
        return {"y": x}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def to_half(self, x):
        return {"y": tf.cast(x, tf.float16)}

    @tf.function(input_signature=[spec([None], tf.int32, "steps")])
    def slow(self, steps):
        count = tf.constant(0)
        while count < steps[0]:
            count += 1
        return {"count": count + 0 * steps}

    @tf.function(input_signature=[spec([None], tf.float32, "x")])
    def failing(self, x):
        return {"y": tf.reshape(x, [7])}

    @tf.function(input_signature=[])
    def no_input(self):
        return {"y": tf.constant([1.0])}


def save_everything(base_path, version=1, offset=0.0):
    """Saves `Everything` as a version of a model; returns the version's folder."""
    module = Everything(offset)
    path = Path(base_path) / str(version)
    tf.saved_model.save(
        module,
        str(path),
        signatures={
            "serving_default": module.documents,
            "add": module.add,
            "tokens": module.tokens,
            "mixed": module.mixed,
            "uneven": module.uneven,
            "mean": module.mean,
            "joined": module.joined,
            "none": module.none,
            "half": module.half,
            "to_half": module.to_half,
            "slow": module.slow,
            "failing": module.failing,
            "no_input": module.no_input,
        },
    )
    return path


class Streams(tf.Module):
    """Reads documents in pieces, with the signatures of `export_causal_lm`.

    Its state is the number of bytes and the sum of each times its position. It writes
    a snowman of three bytes again and again, and counts to 1000
    times `temperature` before each byte.
    """

    WRITES = "☃".encode()

    @tf.function(input_signature=[spec([None], tf.string, "text")])
    def begin(self, text):
        return self.read(text, tf.zeros([2], tf.int64))

    @tf.function(
        input_signature=[
            spec([None], tf.string, "text"),
            spec([None], tf.string, "state_bytes"),
        ]
    )
    def step(self, text, state_bytes):
        return self.read(text, self.unpack(state_bytes))

    @tf.function(
        input_signature=[
            spec([None], tf.string, "state_bytes"),
            spec([None], tf.float32, "temperature"),
            spec([None], tf.float32, "top_p"),
            spec([None], tf.int32, "seed"),
        ]
    )
    def generate(self, state_bytes, temperature, top_p, seed):
        state = self.unpack(state_bytes)
        count = tf.constant(0.0)
        while count < 1000 * temperature[0]:
            count += 1
        position = state[0] + tf.cast(0 * count, tf.int64)
        letters = tf.constant([bytes([byte]) for byte in self.WRITES])
        letter = letters[position % len(self.WRITES), None]
        after = self.read(letter, state)
        return {
            "text_bytes": letter,
            "token_id": 1 + tf.cast(tf.io.decode_raw(letter, tf.uint8)[:, 0], tf.int32),
            "state_bytes": after["state_bytes"],
        }

    def unpack(self, state_bytes):
        return tf.io.decode_raw(state_bytes, tf.int64)[0]

    def read(self, text, state):
        values = tf.cast(tf.io.decode_raw(text, tf.uint8)[0], tf.int64)
        positions = state[0] + tf.range(tf.size(values, tf.int64))
        state += tf.stack(
            [tf.size(values, tf.int64), tf.reduce_sum(values * positions)]
        )
        digits = tf.bitcast(state, tf.uint8)
        bytes_of = tf.constant([bytes([byte]) for byte in range(256)])
        packed = tf.strings.reduce_join(tf.gather(bytes_of, tf.cast(digits, tf.int32)))
        return {
            "num_tokens": tf.cast(state[:1], tf.int32),
            "log_likelihood": -tf.cast(state[1:], tf.float32),
            "bits_per_token": tf.constant([8.0]),
            "state_bytes": packed[None],
        }


def save_streams(base_path, version=1):
    """Saves `Streams` as a version of a model."""
    module = Streams()
    tf.saved_model.save(
        module,
        str(Path(base_path) / str(version)),
        signatures={
            "begin": module.begin,
            "step": module.step,
            "generate": module.generate,
        },
    )


class Examples(tf.Module):
    """Signatures that take serialized examples with one float `x`."""

    def parse(self, inputs):
        features = {"x": tf.io.FixedLenFeature([], tf.float32)}
        return tf.io.parse_example(inputs, features)["x"]

    def scores(self, inputs):
        x = self.parse(inputs)
        return tf.stack([tf.fill(tf.shape(x), 0.5), x], 1)

    def make_signatures(self):
        functions = {
            "scores": lambda inputs: {"scores": self.scores(inputs)},
            "classify": lambda inputs: {
                "scores": self.scores(inputs),
                "classes": tf.tile([["no", "yes"]], [tf.size(inputs), 1]),
            },
            "regress": lambda inputs: {"outputs": self.parse(inputs)[:, None]},
            "flat": lambda inputs: {"scores": self.parse(inputs)},
            "integers": lambda inputs: {
                "scores": tf.cast(self.scores(inputs), tf.int64)
            },
            "other_batch": lambda inputs: {"scores": tf.transpose(self.scores(inputs))},
            "wide": lambda inputs: {"outputs": self.scores(inputs)},
            "longer": lambda inputs: {"outputs": tf.repeat(self.parse(inputs), 2)},
            "whole": lambda inputs: {"outputs": tf.cast(self.parse(inputs), tf.int64)},
        }
        signature = [spec([None], tf.string, "inputs")]
        return {
            name: tf.function(function, input_signature=signature)
            for name, function in functions.items()
        }


def save_examples(base_path, version=1):
    """Saves `Examples` as a version of a model."""
    module = Examples()
    tf.saved_model.save(
        module, str(Path(base_path) / str(version)), signatures=module.make_signatures()
    )


def edit_saved_model(path, edit):
    """Changes the message of a SavedModel on disk by a function of its meta graph."""
    file = Path(path) / "saved_model.pb"
    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    edit(message.meta_graphs[0])
    file.write_bytes(message.SerializeToString())


def write_model_config(path, *entries):
    """Writes a ModelServerConfig as text: one `config` for each dict of its fields."""
    message = ParseDict(
        {"model_config_list": {"config": list(entries)}},
        model_server_config_pb2.ModelServerConfig(),
    )
    Path(path).write_text(str(message), encoding="utf-8")
    return path
