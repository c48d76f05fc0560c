"""`BackboneTask`: the backbone in a config, and logits by its token embedding."""

import json

import keras
import numpy as np
from test_performer_backbone import VOCABULARY, backbone, draw_ids
from tolerances import assert_close

from keras_performer.models import PerformerMaskedLM
from keras_performer.models.backbone_task import token_logits


def test_a_config_is_left_as_it_is():
    model = PerformerMaskedLM(backbone(num_layers=1, name="inner"), name="outer")
    config = json.loads(json.dumps(model.get_config()))
    before = json.dumps(config)
    restored = PerformerMaskedLM.from_config(config)
    assert json.dumps(config) == before
    assert (restored.name, restored.backbone.name) == ("outer", "inner")


def test_logits_are_float32_products_with_the_embedding():
    model = backbone(num_layers=1, dtype="mixed_bfloat16")
    hidden_states = model(draw_ids(2, 5))
    logits = keras.ops.convert_to_numpy(token_logits(model)(hidden_states))
    assert (logits.shape, logits.dtype) == ((2, 5, VOCABULARY), "float32")
    embeddings = keras.ops.convert_to_numpy(model.token_embedding.embeddings)
    hidden_states = keras.ops.convert_to_numpy(keras.ops.cast(hidden_states, "float32"))
    assert_close(logits, hidden_states @ embeddings.T, "bfloat16")
    assert np.ptp(logits) > 0
