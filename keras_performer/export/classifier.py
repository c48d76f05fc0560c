"""Export of a text classifier as a SavedModel that takes raw strings."""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_performer.export.saved_model import Signature, trace, write_saved_model
from keras_performer.export.version_folder import check_name, write_version
from keras_performer.export.warm_up import Request, warm_up_text, write_warm_up
from keras_performer.models import PerformerTextClassifier
from keras_performer.models.problems import get_problem
from keras_performer.text import Tokenizer

WARM_UP_LENGTHS = (0, 100, 1_000, 10_000)  # bytes of the texts of warm-up requests
WARM_UP_IDS = (10, 100)  # lengths of the ids of warm-up requests

# Texts of one request go through the model in groups: those of a group are at most so
# many bytes, were all as long as the longest, and none is shorter than half of it, if
# it is longer than a short one. A text that is longer by itself is a group.
MAX_GROUP_BYTES = 2**18
SHORT_TEXT = 128
GROUPS_FILE = "assets.extra/text_groups.json"


def export_classifier(
    model: PerformerTextClassifier,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    directory: str | os.PathLike[str],
    name: str,
) -> pathlib.Path:
    """Exports a document classifier for TensorFlow Serving.

    Writes `directory/name/<version>/` under the next free version, first under a
    temporary name and then renamed, so that a server which watches the folder never
    sees a part of it. The signatures:

    | signature | inputs | outputs |
    |---|---|---|
    | `serving_default` | `text`: string (B,) | `label`, `probabilities` |
    | `tokens` | `token_ids`: int32 (B, T), 0 pads | `label`, `probabilities` |
    | `embed` | `text`: string (B,) | `embedding`: float32 (B, F) |
    | `labels` | `index`: int32 (B,) | `label`: the name of each class |

    with `label` a string (B,) and `probabilities` a float32 (B, classes). A model of
    several labels a document (`problem="multi_label"`) has, instead of `label`, all
    names as `classes`, a string (B, classes); one of a number (`"regression"`) has
    `value`, float32 (B,), alone, and no signature `labels`.

    Where an encoder beside n-grams has no power, probabilities are computed without it.

    Text becomes ids inside the graph, so that rows may be of any lengths: the rows of a
    request go through the model in groups of like length, so that one long document
    does not pad a thousand short ones to its length. No signature
    is compiled by XLA, which a stock server disables. Warm-up requests for the
    signatures are written where TensorFlow Serving looks for them; they
    are left out, with a warning, where the extra `serving` is not installed.

    Args:
        model: A `keras_performer.models.PerformerTextClassifier`.
        tokenizer: A `keras_performer.text.Tokenizer`, of the model's training.
        labels: Names of the classes; for a number none.
        directory: Folder of all models.
        name: Name of the model, a plain folder name.

    Returns:
        `pathlib.Path` of the new version.

    Raises:
        ValueError: If the labels are not as many as the model's classes, the name is
            no folder name, or the vocabularies differ.
    """
    _check(model, tokenizer, labels, name)

    def write(path: pathlib.Path) -> None:
        _write_saved_model(model, tokenizer, labels, path)
        _write_extra(path / GROUPS_FILE)
        write_warm_up(path, name, _list_warm_up_requests(bool(labels)))

    return write_version(directory, name, write)


def _check(
    model: PerformerTextClassifier,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    name: str,
) -> None:
    number = 0 if get_problem(model).name == "regression" else model.num_classes
    if len(labels) != number:
        raise ValueError(
            f"`labels` must name the model's {number} classes. Received "
            f"{len(labels)}: {list(labels)}"
        )
    if tokenizer.vocabulary_size != model.backbone.vocabulary_size:
        raise ValueError(
            "The tokenizer must be the one of the model's training. Received: a "
            f"tokenizer of {tokenizer.vocabulary_size} ids and a model of "
            f"{model.backbone.vocabulary_size}"
        )
    check_name(name)


def _write_saved_model(
    model: PerformerTextClassifier,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    path: pathlib.Path,
) -> None:
    names = tf.constant(list(labels), tf.string)
    texts = tf.TensorSpec([None], tf.string, name="text")
    ids = tf.TensorSpec([None, None], tf.int32, name="token_ids")
    indices = tf.TensorSpec([None], tf.int32, name="index")

    name_outputs = functools.partial(_NAME_OUTPUTS[get_problem(model).name], names)

    def get_outputs(token_ids: Any) -> Any:
        return tf.cast(classifier(token_ids, training=False), tf.float32)

    def get_embedding(token_ids: Any) -> Any:
        return tf.cast(model.embedder(token_ids, training=False), tf.float32)

    def classify_tokens(token_ids: Any) -> dict[str, Any]:
        return name_outputs(outputs_of(token_ids))

    def classify(text: Any) -> dict[str, Any]:
        return name_outputs(
            _map_by_length(
                lambda some: outputs_of(tokenizer(some)), text, model.num_classes
            )
        )

    def embed(text: Any) -> dict[str, Any]:
        width = model.embedder.compute_output_shape((1, 1))[-1]
        embedding = _map_by_length(
            lambda some: embedding_of(tokenizer(some)), text, width
        )
        return {"embedding": embedding}

    def name_labels(index: Any) -> dict[str, Any]:
        return {"label": tf.gather(names, index)}

    classifier = _without_idle_encoder(model)
    # Functions of their own, which signatures share: an export, and what a server does
    # once for each signature, take time by the size of all.
    outputs_of = trace(get_outputs, ids)
    embedding_of = trace(get_embedding, ids)
    signatures: dict[str, Signature] = {
        "serving_default": (classify, [texts]),
        "tokens": (classify_tokens, [ids]),
        "embed": (embed, [texts]),
    }
    if labels:
        signatures["labels"] = (name_labels, [indices])
    tokenizer(tf.constant([""]))  # only layers that were called can be tracked
    write_saved_model(path, signatures, [tokenizer])


def _name_one(names: Any, probabilities: Any) -> dict[str, Any]:
    label = tf.gather(names, tf.argmax(probabilities, axis=-1))
    return {"label": label, "probabilities": probabilities}


def _name_all(names: Any, probabilities: Any) -> dict[str, Any]:
    classes = tf.broadcast_to(names, tf.shape(probabilities))
    return {"classes": classes, "probabilities": probabilities}


def _name_value(names: Any, numbers: Any) -> dict[str, Any]:
    return {"value": numbers[:, 0]}


_NAME_OUTPUTS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "single_label": _name_one,
    "multi_label": _name_all,
    "regression": _name_value,
}


def _without_idle_encoder(model: PerformerTextClassifier) -> keras.Model:
    """The same probabilities, where the encoder has no power without computing it."""
    experts = getattr(model, "experts", None)
    if experts is None or experts.powers.numpy()[1] != 0:
        return model
    by_ngrams = model.ngram_classifier.output
    outputs = experts([by_ngrams, keras.ops.ones_like(by_ngrams)])
    return keras.Model(model.input, outputs)


def _map_by_length(function: Callable[[Any], Any], texts: Any, width: int) -> Any:
    """What a function of texts gives, applied to groups of texts of like length.

    Args:
        function: From strings (G,) to float32 (G, width); a row of it depends on its
            own text alone.
        texts: Strings (B,).
        width: Size of the last axis of what it gives.

    Returns:
        float32 (B, width), in the order of the texts.
    """
    lengths = tf.strings.length(texts)
    order = tf.argsort(lengths, stable=True)
    texts = tf.gather(texts, order)
    lengths = tf.cast(tf.gather(lengths, order), tf.int64)

    def add_group(start: Any, values: Any) -> tuple[Any, Any]:
        rest = lengths[start:]
        padded = rest * tf.range(1, tf.size(rest, tf.int64) + 1)
        longest = tf.maximum(2 * rest[0], SHORT_TEXT)
        fits = tf.logical_and(rest <= longest, padded <= MAX_GROUP_BYTES)
        end = start + tf.maximum(tf.reduce_sum(tf.cast(fits, tf.int32)), 1)
        return end, tf.concat([values, function(texts[start:end])], axis=0)

    _, values = tf.while_loop(
        lambda start, _: start < tf.size(texts),
        add_group,
        (tf.constant(0), tf.zeros((0, width))),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, width])),
        parallel_iterations=1,
    )
    return tf.gather(values, tf.math.invert_permutation(order))


def _write_extra(path: pathlib.Path) -> None:
    """Tells a server how much of a request the model has in hand at a time."""
    path.parent.mkdir()
    path.write_text(json.dumps({"max_group_bytes": MAX_GROUP_BYTES}) + "\n")


def _list_warm_up_requests(has_labels: bool) -> list[Request]:
    requests: list[Request] = [
        (signature, {"text": warm_up_text(length)})
        for signature in ("serving_default", "embed")
        for length in WARM_UP_LENGTHS
    ]
    requests += [("tokens", {"token_ids": [[1] * length]}) for length in WARM_UP_IDS]
    return [*requests, ("labels", {"index": [0]})] if has_labels else requests
