"""`HashedNgrams`: words and pairs of words in token ids, hashed, weighted by TF-IDF."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_performer.layers.validation import check_seed, check_size
from keras_performer.ops.backend import compile_function

# What a token is to the words of a text.
BLANK = 0  # part of no word, and parts those beside it, as a space does
WORD = 1  # begins a word
CONTINUATION = 2  # belongs to the word of the token before, as "##ing" does
LETTER = 3  # belongs to the word of the token before if that is a letter too

_MULTIPLIERS = (0x7FEB352D, 0x846CA68B - 2**32)  # of "lowbias32", as int32
_POSITION = 0x9E3779B1 - 2**32
_KINDS = 3  # of features: tokens, words, pairs of words


class FeatureCounts(NamedTuple):
    """In how many sequences features are: see `HashedNgrams.count`.

    Attributes:
        found: Of each bucket and class, in how many sequences the bucket is.
        sizes: Number of sequences of each class.
    """

    found: np.ndarray
    sizes: np.ndarray


@keras.saving.register_keras_serializable(package="keras_performer")
class HashedNgrams(keras.layers.Layer):
    """Counts tokens, whole words and pairs of words, hashed, with TF-IDF weights.

    What a linear classifier of documents reads: with the embedding of the buckets as
    the weights of the classes, its logits are the sum of `weights * embedding`. Words
    are put together again from their tokens, so that nothing but token ids is needed.

    A feature that occurs c times in a sequence has the weight `(1 + log(c)) * idf`,
    with `idf = log((1 + N) / (1 + n)) + 1` where n of N sequences have it (as in
    scikit-learn's `TfidfVectorizer(sublinear_tf=True, smooth_idf=True)`); the weights
    of a sequence have the Euclidean norm `scale`. `adapt` can also weigh features by
    what they tell of given classes. Features become numbers of buckets by a hash
    ("feature hashing", arXiv 0902.2206): two of them may share one.

    The output has a place for each occurrence of a feature, and its weight at the first
    of them; at others it is 0. Places that are not needed have bucket 0, of which one
    has weight 1: a bias.

    Args:
        num_buckets: Number of buckets, at least 2.
        token_kinds: What each token id is to words, such as `tokenizer.token_kinds`: 0
            parts words, as a space does; 1 begins a word; 2 belongs to the word of the
            token before, as `"##ing"` does; 3 does so if that token is of kind 3 too,
            as a letter does. Id 0 is padding and parts words.
        rate: Share of the features that training leaves out at random, from 0 to 1;
            others are scaled to make up for it.
        scale: Euclidean norm of the weights of a sequence.
        seed: Integer that seeds what is left out, or `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Call arguments:
        token_ids: Integer tensor of shape (B, T), each id below `len(token_kinds)`.
        training: Whether to leave features out.

    Returns:
        A pair of tensors of shape (B, 3 * T): buckets, int32, and weights, float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> layer = HashedNgrams(1024, token_kinds=[0, 1, 1, 2], scale=1.0)
    >>> buckets, weights = layer(np.array([[1, 2, 3]]))  # two words, one of two tokens
    >>> buckets.shape
    TensorShape([1, 9])
    >>> [round(float(weight), 2) for weight in weights[0]]
    [1.0, 0.0, 0.0, 0.41, 0.41, 0.41, 0.41, 0.41, 0.41]
    """

    def __init__(
        self, num_buckets, token_kinds, rate=0.0, scale=20.0, seed=None, **kwargs
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        check_size("num_buckets", num_buckets)
        check_seed(seed)
        kinds = [int(kind) for kind in token_kinds]
        unknown = sorted(set(kinds) - {BLANK, WORD, CONTINUATION, LETTER})
        if num_buckets < 2 or not 0 <= rate < 1 or not scale > 0:
            raise ValueError(
                "`num_buckets` must be at least 2, `rate` in [0, 1), and `scale` "
                f"positive. Received: num_buckets={num_buckets}, rate={rate!r}, "
                f"scale={scale!r}"
            )
        if not kinds or unknown:
            raise ValueError(
                "`token_kinds` must have a kind from 0 to 3 for each token id, such as "
                f"`tokenizer.token_kinds`. Received: {len(kinds)} of them, with "
                f"{unknown}, which are none."
            )
        self.num_buckets = num_buckets
        self.token_kinds = kinds
        self.rate = rate
        self.scale = scale
        self.seed = seed
        self._seed_generator = keras.random.SeedGenerator(seed)

    def build(self, token_ids_shape):
        self.feature_weights = self.add_weight(
            name="feature_weights",
            shape=(self.num_buckets,),
            initializer="ones",
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    def call(self, token_ids, training=False):
        buckets, counts = self._count(token_ids)
        is_feature = ops.logical_and(counts > 0, buckets > 0)
        repeats = ops.cast(ops.maximum(counts, 1), "float32")
        weights = 1.0 + ops.log(repeats)
        weights = weights * ops.take(self.feature_weights, buckets)
        weights = ops.where(is_feature, weights, 0.0)
        squares = ops.sum(ops.square(weights), axis=1, keepdims=True)
        weights = weights * self.scale * ops.rsqrt(ops.maximum(squares, 1e-9))
        if training and self.rate:
            drawn = keras.random.uniform(ops.shape(weights), seed=self._seed_generator)
            is_kept = drawn >= self.rate
            weights = ops.where(is_kept, weights / (1.0 - self.rate), 0.0)
        # Places without a feature are sorted first; there is one at least.
        is_bias = ops.logical_and(counts > 0, buckets == 0)
        return buckets, ops.where(is_bias, 1.0, weights)

    def adapt(self, batches, num_classes=None):
        """Counts in how many sequences each feature is, and sets its weight by it.

        Without classes the weight is idf. With them it is `idf * sqrt(s)`, where s is
        the standard deviation over the classes of `log((n_c + 1) / (N_c + 2))`, and n_c
        of the N_c sequences of class c have the feature. What is as frequent in all
        classes, or hardly ever there, then weighs little: the log-count ratios of
        "Baselines and Bigrams" (Wang and Manning, ACL 2012), for more than two classes.
        It is better for few classes with many documents (opinions in reviews), and
        worse where the words that part the classes in training are not those of other
        documents (the names in an author's books).

        Args:
            batches: Iterable of token ids of shape (B, T); with `num_classes`, of pairs
                of token ids and labels, integers of shape (B,).
            num_classes: Number of classes, or `None`.

        Raises:
            ValueError: If a label is not that of a class.
        """
        counts = self.count(batches, num_classes)
        self.weigh(counts, supervised=num_classes is not None)

    def count(self, batches, num_classes=None, counts=None):
        """Counts in how many sequences each feature is, as the first half of `adapt`.

        Args:
            batches: As of `adapt`.
            num_classes: Number of classes, or `None`.
            counts: `FeatureCounts` of other sequences, to which these are added.

        Returns:
            `FeatureCounts`: integer arrays of shape (num_buckets, C) and (C,), with C
            the number of classes, or 1.

        Raises:
            ValueError: If a label is not that of a class.
        """
        width = num_classes or 1
        if counts is None:
            found = np.zeros((self.num_buckets, width), "int32")
            sizes = np.zeros(width, "int64")
        else:
            found, sizes = (x.copy() for x in counts)
        count = compile_function(self._count, self)
        for batch in batches:
            token_ids, labels = (batch, None) if num_classes is None else batch
            token_ids = ops.convert_to_tensor(token_ids)
            if not self.built:
                self.build(token_ids.shape)
            # Added up on the host: a tensor of all buckets for each batch would take
            # longer than the features.
            buckets, repeats = map(ops.convert_to_numpy, count(token_ids))
            classes = np.zeros(len(buckets), "int32")
            if labels is not None:
                classes = ops.convert_to_numpy(labels).astype("int32")
                _check_labels(classes, width)
            rows, places = np.nonzero(repeats)
            indices = buckets[rows, places].astype("int64") * width + classes[rows]
            np.add.at(found.reshape(-1), indices, np.ones(len(indices), "int32"))
            sizes += np.bincount(classes, minlength=width)
        return FeatureCounts(found, sizes)

    def weigh(self, counts, supervised=False):
        """Sets the weights of features by counts, as the second half of `adapt`.

        Args:
            counts: `FeatureCounts`.
            supervised: Whether the weights are those of `adapt` with classes.
        """
        found, sizes = counts
        weights = np.log((1.0 + sizes.sum()) / (1.0 + found.sum(axis=1))) + 1.0
        if supervised:
            shares = (found + 1) / (sizes + 2).astype("float32")
            weights = weights * np.sqrt(np.log(shares).std(axis=1))
        self.feature_weights.assign(weights)

    def _count(self, token_ids):
        """All features in order, and how often each occurs.

        Returns:
            Integer tensors of shape (B, 3 * T): buckets, sorted; at the first place of
            a bucket the number of its places, and 0 at others.
        """
        buckets = ops.sort(self._buckets(token_ids), axis=1)
        is_same = ops.cast(buckets[:, 1:] == buckets[:, :-1], "int32")
        is_first = 1 - ops.pad(is_same, [[0, 0], [1, 0]])
        runs = ops.cumsum(is_first, axis=1) - 1
        lengths = _sum_in_rows(ops.ones_like(runs), runs)
        return buckets, is_first * _take_in_rows(lengths, runs)

    def _buckets(self, token_ids):
        token_ids = ops.cast(token_ids, "int32")
        kinds = ops.take(ops.convert_to_tensor(self.token_kinds, "int32"), token_ids)
        kinds = ops.where(token_ids == 0, BLANK, kinds)
        before = ops.pad(kinds[:, :-1], [[0, 0], [1, 0]])
        is_letter = kinds == LETTER
        joins = ops.logical_or(
            # What parts words belongs to the one before it, and adds nothing to it.
            ops.logical_or(kinds == CONTINUATION, kinds == BLANK),
            ops.logical_and(is_letter, before == LETTER),
        )
        # The number of a token's word in its row, and the place in the word.
        words = ops.cumsum(1 - ops.cast(joins, "int32"), axis=1)
        words = words - words[:, :1]
        positions = ops.broadcast_to(
            ops.arange(ops.shape(token_ids)[1], dtype="int32"), ops.shape(token_ids)
        )
        starts = _sum_in_rows(ops.where(joins, 0, positions), words)
        places = positions - _take_in_rows(starts, words)

        is_text = kinds != BLANK
        parts = _mix(token_ids * _MULTIPLIERS[0] + places * _POSITION)
        lengths = _sum_in_rows(ops.cast(is_text, "int32"), words)
        hashes = _mix(_sum_in_rows(ops.where(is_text, parts, 0), words))
        has_word = lengths > 0
        pairs = _mix(hashes[:, :-1] * 31 + hashes[:, 1:])
        has_pair = ops.logical_and(has_word[:, :-1], has_word[:, 1:])
        return ops.concatenate(
            [
                self._bucket(_mix(token_ids + 1), is_text),
                self._bucket(hashes, has_word),
                ops.pad(self._bucket(pairs, has_pair), [[0, 0], [0, 1]]),
            ],
            axis=1,
        )

    def _bucket(self, hashes, exists):
        positive = ops.bitwise_and(hashes, 2**31 - 1)
        return ops.where(exists, 1 + positive % (self.num_buckets - 1), 0)

    def compute_output_spec(self, token_ids, training=False):
        batch, length = token_ids.shape
        shape = (batch, None if length is None else _KINDS * length)
        return keras.KerasTensor(shape, "int32"), keras.KerasTensor(shape, "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "token_kinds": self.token_kinds,
            "rate": self.rate,
            "scale": self.scale,
            "seed": self.seed,
        }


def _check_labels(labels, num_classes):
    if not ((labels >= 0) & (labels < num_classes)).all():
        raise ValueError(
            f"Labels must be from 0 to {num_classes - 1}, with "
            f"num_classes={num_classes}. Received: labels from {labels.min()} to "
            f"{labels.max()}"
        )


def _sum_in_rows(values, segments):
    """Sums of each row by segment, of the shape of the row: (B, N)."""
    shape = ops.shape(values)
    sums = ops.segment_sum(
        ops.reshape(values, (-1,)),
        _flat(segments),
        num_segments=shape[0] * shape[1],
    )
    return ops.reshape(sums, shape)


def _take_in_rows(values, places):
    """Takes of each row the values at some places, (B, N)."""
    taken = ops.take(ops.reshape(values, (-1,)), _flat(places))
    return ops.reshape(taken, ops.shape(values))


def _flat(places):
    """Places in rows, (B, N), as places in all rows one after another."""
    rows, length = ops.shape(places)
    first = ops.arange(rows, dtype="int32")[:, None] * length
    return ops.reshape(places + first, (-1,))


def _mix(x):
    """Mixes the bits of int32, whose products wrap: Wellons's hash "lowbias32"."""
    x = ops.bitwise_xor(x, _shift(x, 16)) * _MULTIPLIERS[0]
    x = ops.bitwise_xor(x, _shift(x, 15)) * _MULTIPLIERS[1]
    return ops.bitwise_xor(x, _shift(x, 16))


def _shift(x, bits):
    """Shifts to the right, filling with zeros."""
    return ops.bitwise_and(ops.right_shift(x, bits), 2 ** (32 - bits) - 1)
