"""Models that were saved once: every later version loads them."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from layer_inputs import numpy
from tolerances import assert_close

import keras_performer  # noqa: F401 - registers what the files name

# What `fixtures/make_saved_models.py` wrote, once, and later versions must load.
FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.keras"))
PROMISE = (
    "A model that users may have saved no longer {}. Let `from_config` and `build` "
    "read what earlier versions wrote; to make {} anew hides that theirs are lost."
)


def version_of(text):
    return tuple(int(part) for part in text.split(".")[:2])


def test_models_of_every_kind_are_kept():
    names = {path.stem for path in FIXTURES}
    attentions = {"bidirectional", "causal", "favor_sharp", "grouped_heads"}
    blocks = {"encoder", "decoder", "document_classifier", "gated_classifier"}
    assert names >= attentions | {"positions_and_window"} | blocks


@pytest.mark.cases(*(path.stem for path in FIXTURES))
@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_models_of_earlier_versions_load(path):
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
    if version_of(keras.__version__) < version_of(metadata["keras_version"]):
        pytest.skip(f"saved by Keras {metadata['keras_version']}, which is newer")
    try:
        model = keras.saving.load_model(path)
    except (TypeError, ValueError, KeyError) as error:
        pytest.fail(f"{PROMISE.format('loads', path.name)}\n{error}")
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs, outputs = arrays["inputs"], arrays["outputs"]
    try:
        assert_close(numpy(model(inputs)), outputs)
    except AssertionError as error:
        pytest.fail(f"{PROMISE.format('answers as it did', path.name)}\n{error}")
