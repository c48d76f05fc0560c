"""A small training of a classifier, for tests that kill it."""

import sys

from keras_performer.training import ClassifierSettings, train_classifier

SMALL = {
    "tokenizer": "bytes",
    "context_length": 128,
    "tokens_per_batch": 1024,
    "epochs": 3,
    "learning_rate": 5e-3,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 16,
    "feature_map": "softmax",
    "num_features": 8,
    "redraw_interval": 3,
    "ngram_buckets": 0,
}

if __name__ == "__main__":
    data, folder, checkpoint_every = sys.argv[1:]
    module = sys.modules["keras_performer.training.train_encoder"]
    module.CHECKPOINT_EVERY = int(checkpoint_every)
    train_classifier(ClassifierSettings(data=data, **SMALL), folder, verbose=0)
