"""Requests that are a little wrong, from a seed."""

import json

TOKENS = [
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u", b"\x00", b"\xff", b"\n"),
    *(b"null", b"true", b"NaN", b"-Inf", b"1e999", b"-0", b"0.1", b"9" * 30, b"1e"),
    *(
        b"\\ud800",
        b"\\udc00\\ud83d",
        b'{"b64": "AA=="}',
        b'{"b64": 1}',
        b'{"b64": "?"}',
    ),
    *(b'"instances"', b'"inputs"', b'"signature_name"', b'"x"', b'"examples"'),
    *(b"[" * 2000, b"]" * 2000, b'{"a":' * 500, b"1," * 3000, b'"' + b"x" * 9000),
]


VALUES = [
    None,
    True,
    0,
    -1,
    2.5,
    2**31,
    2**63,
    2**64,
    1e300,
    "",
    "a",
    "serving_default",
]
VALUES += [[], [[]], [1, [2]], ["a", 1], {}, {"b64": "AAEC"}, {"b64": "?"}, {"x": 1}]
VALUES += [[1.5, 2], [[1, 2, 3]], [[[1]]], {"x": [1, 2, 3]}, float("nan"), "\0\ud800"]


def replace(random, document):
    """A JSON document as `bytes`, with some of its values replaced by others."""
    value = json.loads(document)
    for _ in range(random.randint(1, 2)):
        value = _replace_one(random, value)
    return json.dumps(value).encode()


def _replace_one(random, value):
    if value and random.random() < 0.8:
        if isinstance(value, dict):
            key = random.choice(list(value))
            return {**value, key: _replace_one(random, value[key])}
        if isinstance(value, list):
            index = random.randrange(len(value))
            if random.random() < 0.2:
                return value[:index] + value[index:] * 2
            changed = _replace_one(random, value[index])
            return [*value[:index], changed, *value[index + 1 :]]
    return random.choice(VALUES)


def mutate(random, documents):
    """One of some byte strings, with one to six changes.

    Args:
        random: a `random.Random`.
        documents: list of `bytes`.
    """
    text = bytearray(random.choice(documents))
    for _ in range(random.randint(1, 6)):
        start = random.randrange(len(text) + 1)
        end = min(start + random.choice([0, 1, 1, 3, 20]), len(text))
        kind = random.randrange(5)
        if kind == 0:
            text[start:end] = b""
        elif kind == 1:
            text[start:end] = random.choice(TOKENS)
        elif kind == 2:
            text[start:end] = bytes(random.randrange(256) for _ in range(end - start))
        elif kind == 3:
            text[start:start] = text[end : end + 30]
        else:
            other = random.choice(documents)
            text[start:] = other[random.randrange(len(other)) :]
    return bytes(text)
