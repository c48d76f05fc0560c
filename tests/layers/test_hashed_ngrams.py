"""Words put together from tokens, their pairs, and their TF-IDF weights."""

import collections
import itertools

import keras
import numpy as np
import pytest
from keras import ops
from tolerances import STANDARD_ERRORS, assert_close

from keras_performer.layers import HashedNgrams

BUCKETS = 2**22  # so many that no two features of a test share one
# Ids of a small vocabulary: padding, four whole words, three continuations, a space.
KINDS = [0, 1, 1, 1, 1, 2, 2, 2, 0]
SPACE = 8
TEXTS = [[1, 5, 2, 2, 3, 6, 7], [4, 1, 5, 1, 5, 2], [3, 6, 3, 7, 2, 1]]


def words_of(ids):
    """The words as strings, such as "1-5"."""
    words = []
    for token_id in ids:
        if KINDS[token_id] == 2 and words:
            words[-1] += f"-{token_id}"
        elif KINDS[token_id] != 0:
            words.append(str(token_id))
    return words


def features_of(ids):
    words = words_of(ids)
    tokens = [f"token {i}" for i in ids if KINDS[i] != 0]
    pairs = [f"{a} {b}" for a, b in itertools.pairwise(words)]
    return tokens + words + pairs


def made(**arguments):
    layer = HashedNgrams(BUCKETS, KINDS, **arguments)
    layer.build((None, None))
    return layer


def row_weights(layer, ids, **call):
    """A dictionary from buckets to weights, and the weight of the bias."""
    buckets, weights = layer(np.array([ids]), **call)
    sums = {}
    for bucket, weight in zip(
        ops.convert_to_numpy(buckets)[0], ops.convert_to_numpy(weights)[0], strict=True
    ):
        sums[int(bucket)] = sums.get(int(bucket), 0.0) + float(weight)
    return sums, sums.pop(0)


def test_weights_are_tf_idf_of_norm_scale():
    longest = max(map(len, TEXTS))
    batch = np.array([ids + [0] * (longest - len(ids)) for ids in TEXTS])
    layer = made(scale=3.0)
    layer.adapt([batch[:2], batch[2:]])
    texts_with = collections.Counter(x for ids in TEXTS for x in {*features_of(ids)})
    for ids in TEXTS:
        counts = collections.Counter(features_of(ids))
        expected = np.array(
            [
                (1 + np.log(count)) * (np.log(4 / (1 + texts_with[feature])) + 1)
                for feature, count in counts.items()
            ]
        )
        expected *= 3.0 / np.linalg.norm(expected)
        sums, bias = row_weights(layer, ids)
        assert_close(np.sort([*sums.values()]), np.sort(expected), "float32")
        assert bias == pytest.approx(1.0)


def test_with_classes_features_weigh_what_they_tell_of_them():
    texts, classes = [[1], [1, 2], [2, 1], [3]], [0, 0, 1, 1]
    batch = np.array([ids + [0] * (2 - len(ids)) for ids in texts])
    layer, plain = made(), made()
    layer.adapt([(batch[:3], classes[:3]), (batch[3:], classes[3:])], num_classes=2)
    plain.adapt([batch])
    for token in (1, 2, 3):
        n = [sum(token in ids for ids in texts[i : i + 2]) for i in (0, 2)]
        spread = np.std(np.log([(n[0] + 1) / 4, (n[1] + 1) / 4]))
        buckets = [*row_weights(plain, [token])[0]]
        expected = ops.take(plain.feature_weights, buckets) * spread**0.5
        assert_close(ops.take(layer.feature_weights, buckets), expected, "float32")
    assert not any(row_weights(layer, [2])[0].values()), "of both classes alike"
    for label in (-1, 2):
        with pytest.raises(ValueError, match=rf"from 0 to 1.*labels from {label}"):
            layer.adapt([(batch[:1], [label])], num_classes=2)


def test_the_same_features_have_the_same_buckets_anywhere():
    layer = made()
    found = {}
    for ids in [*TEXTS, [2, 2, 3, 6, 7, 4, 1, 5, 2]]:
        sums, _ = row_weights(layer, ids)
        assert len(sums) == len(set(features_of(ids)))
        found[tuple(ids)] = set(sums)
    for a, buckets in found.items():
        for b, others in found.items():
            shared = set(features_of(a)) & set(features_of(b))
            assert len(buckets & others) == len(shared)


@pytest.mark.parametrize(
    "ids",
    [
        [*TEXTS[0], 0, 0],
        [0, 0, *TEXTS[0]],
        [1, 5, 0, 2, 2, SPACE, SPACE, 3, 6, 7],
    ],
    ids=["right", "left", "between_words"],
)
def test_padding_and_spaces_change_nothing(ids):
    expected, _ = row_weights(made(), TEXTS[0])
    sums, bias = row_weights(made(), ids)
    assert sums == pytest.approx(expected)
    assert bias == pytest.approx(1.0)


def test_letters_are_joined_and_parted_by_spaces():
    layer = HashedNgrams(BUCKETS, [0, 3, 3, 3, 0, 1])
    ab_c, _ = row_weights(layer, [1, 2, 4, 3])
    a_bc, _ = row_weights(layer, [1, 4, 2, 3])
    assert len(ab_c) == 3 + 2 + 1  # letters, words, a pair
    assert len(set(ab_c) & set(a_bc)) == 3  # the letters
    mark, _ = row_weights(layer, [1, 5, 2])
    assert len(mark) == 3 + 3 + 2


def test_an_empty_text_has_the_bias_alone():
    sums, bias = row_weights(made(), [0, SPACE, 0])
    assert not any(sums.values())
    assert bias == pytest.approx(1.0)


def test_a_feature_has_its_weight_in_one_place():
    buckets, weights = made()(np.array([[1, 2, 1, 2, 1, 0]]))
    places = ops.convert_to_numpy(buckets)[0][ops.convert_to_numpy(weights)[0] != 0]
    # Two tokens, two words, two pairs and the bias.
    assert len(places) == len(set(places)) == 7


def test_training_leaves_out_whole_features():
    ids = list(np.random.default_rng(0).choice([1, 2, 3, 4], 400))
    layer = made(rate=0.5, seed=0)
    all_of_them, _ = row_weights(layer, ids)
    counts = []
    for _ in range(40):
        sums, bias = row_weights(layer, ids, training=True)
        assert bias == pytest.approx(1.0)
        for bucket, weight in sums.items():
            assert weight == pytest.approx(0) or weight == pytest.approx(
                2 * all_of_them[bucket], rel=1e-5
            )
        counts.append(np.mean([weight > 0 for weight in sums.values()]))
    error = np.sqrt(0.25 / len(all_of_them) / len(counts))
    assert abs(np.mean(counts) - 0.5) < STANDARD_ERRORS * error


def test_a_saved_layer_is_the_same():
    layer = made(rate=0.25, scale=5.0, seed=3)
    copy = HashedNgrams.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    token_ids = keras.Input((None,), dtype="int32")
    buckets, weights = copy(token_ids)
    assert buckets.shape == weights.shape == (None, None)
    assert buckets.dtype == "int32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_buckets": 1}, "at least 2"),
        ({"num_buckets": 2.5}, "num_buckets"),
        ({"rate": 1.0}, "rate=1.0"),
        ({"scale": 0.0}, "scale=0.0"),
        ({"token_kinds": [0, 7]}, r"\[7\], which are none"),
        ({"token_kinds": []}, "0 of them"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HashedNgrams(**{"num_buckets": 8, "token_kinds": KINDS} | arguments)
