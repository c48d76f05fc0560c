"""A small classifier, exported once for the tests of the export."""

import pytest
from exported_classifier import LABELS, VOCABULARY, classifier

from keras_performer.export import export_classifier
from keras_performer.text import ByteTokenizer, WordPieceTokenizer


@pytest.fixture(
    scope="session", params=[pytest.param("bytes", marks=pytest.mark.slow), "wordpiece"]
)
def exported(request, tmp_path_factory):
    """The model, the tokenizer and the folder of version 1."""
    if request.param == "bytes":
        tokenizer = ByteTokenizer()
    else:
        tokenizer = WordPieceTokenizer(VOCABULARY)
    model = classifier(tokenizer.vocabulary_size)
    directory = tmp_path_factory.mktemp(f"saved_models_{request.param}")
    path = export_classifier(model, tokenizer, LABELS, directory, "documents")
    return model, tokenizer, path
