"""A small pretraining, for tests that kill it."""

import sys

from small_classifier import SMALL

from keras_performer.training import PretrainingSettings, pretrain_encoder

SMALL_PRETRAINING = SMALL | {"learning_rate": 2e-2}
del SMALL_PRETRAINING["ngram_buckets"]  # of classifiers alone

if __name__ == "__main__":
    data, folder, checkpoint_every = sys.argv[1:]
    module = sys.modules["keras_performer.training.train_encoder"]
    module.CHECKPOINT_EVERY = int(checkpoint_every)
    settings = PretrainingSettings(data=data, **SMALL_PRETRAINING)
    pretrain_encoder(settings, folder, verbose=0)
