"""Quantizing a model says nothing of layers without anything to quantize."""

import warnings

import pytest
from test_performer_backbone import backbone

from keras_performer.models import PerformerTextClassifier
from keras_performer.models.quantization import quantized_quietly


@pytest.mark.parametrize(
    ("head", "mode"),
    [(lambda b: b, "float8"), (lambda b: PerformerTextClassifier(b, 3), "int8")],
    ids=["backbone-float8", "classifier-int8"],
)
def test_a_model_is_quantized_without_a_warning(head, mode):
    model = head(backbone(dropout=0.1, num_layers=1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.quantize(mode)
    assert [str(warning.message) for warning in caught] == []
    modes = {layer.quantization_mode for layer in model._flatten_layers()}
    assert mode in modes


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="int3"):
        backbone(num_layers=1).quantize("int3")


def test_other_warnings_are_not_hidden():
    with pytest.warns(UserWarning, match="something else"), quantized_quietly():
        warnings.warn("something else", UserWarning, stacklevel=1)
