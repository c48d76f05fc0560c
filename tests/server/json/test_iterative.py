"""The parser for long and for deep documents agrees with Python's."""

import json
import random

import pytest

from keras_performer.server.json import iterative
from keras_performer.server.json.iterative import parse_iteratively
from keras_performer.server.json.parser import parse
from keras_performer.server.serving_error import ServingError


def read(text):
    return parse_iteratively(text, json.JSONDecoder(), dict, lambda: None)


def make_value(random, depth):
    """Any JSON value, with spaces where they may be."""
    space = random.choice(["", " ", "\n\t"])
    kind = random.randrange(8 if depth else 6)
    if kind == 6:
        items = [make_value(random, depth - 1) for _ in range(random.randrange(5))]
        return f"[{space}" + f"{space},".join(items) + f"{space}]"
    if kind == 7:
        items = [
            f'{space}"k{random.randrange(4)}"{space}:{make_value(random, depth - 1)}'
            for _ in range(random.randrange(4))
        ]
        return "{" + f"{space},".join(items) + f"{space}" + "}"
    values = ["null", "true", "-0", "1.5e3", '"a, ]\\"\\\\"', str(random.random())]
    return space + values[kind]


@pytest.mark.parametrize("piece", [9, 30, 65_536])
def test_it_agrees_with_pythons_parser(piece, monkeypatch):
    monkeypatch.setattr(iterative, "_PIECE", piece)
    generator = random.Random(7)
    for _ in range(1000):
        text = make_value(generator, 4)
        value, end = read(text + " , rest")
        assert value == json.loads(text)
        assert text[end:].strip() == ""


@pytest.mark.parametrize("piece", [9, 65_536])
def test_it_refuses_what_pythons_parser_refuses(piece, monkeypatch):
    monkeypatch.setattr(iterative, "_PIECE", piece)
    generator = random.Random(8)
    for _ in range(2000):
        text = make_value(generator, 3)
        place = generator.randrange(len(text) + 1)
        broken = text[:place] + generator.choice('[]{},:"1x') + text[place + 1 :]
        try:
            expected, end = json.JSONDecoder().raw_decode(broken.lstrip())
        except ValueError:
            with pytest.raises(ValueError):
                read(broken)
        else:
            if broken.lstrip()[end : end + 1] not in (".", "e"):
                assert read(broken)[0] == expected


@pytest.mark.parametrize("piece", [9, 65_536])
def test_spaces_where_a_piece_ends(piece, monkeypatch):
    monkeypatch.setattr(iterative, "_PIECE", piece)
    for spaces in range(12):
        text = '["a",' + " " * spaces + '"b", 1,' + " " * spaces + "2]"
        assert read(text)[0] == ["a", "b", 1, 2]


def test_long_runs_of_numbers():
    numbers = [0.5 * n for n in range(40_000)]
    document = [numbers, "x", *numbers]
    assert read(json.dumps(document))[0] == document


class CountingDecoder(json.JSONDecoder):
    """Counts how often it is asked, and for how many characters of runs."""

    calls = characters = 0

    def decode(self, text):
        self.characters += len(text)
        return super().decode(text)

    def raw_decode(self, text, idx=0):
        self.calls += 1
        return super().raw_decode(text, idx)


@pytest.mark.parametrize(
    "element", ["[1, 2, 3]", '{"a": [1, {"b": "]"}]}', '"text, \\" [1"', "[[[]], 1]"]
)
def test_many_elements_are_left_to_pythons_parser(element):
    decoder = CountingDecoder()
    text = '{"instances": [' + ", ".join([element] * 20_000) + "]}"
    value, _ = parse_iteratively(text, decoder, dict, lambda: None)
    assert value == json.loads(text)
    assert decoder.calls < 100


def test_what_cannot_be_left_to_it_is_tried_once():
    """Or time would grow with the square of the length."""
    decoder = CountingDecoder()
    text = "[" + ", ".join(["[Inf, 1]"] * 20_000) + "]"
    value, _ = parse_iteratively(text, decoder, dict, lambda: None)
    assert value == [[float("inf"), 1]] * 20_000
    assert decoder.characters < 2 * len(text)


def test_a_long_document_gives_time_to_others_and_to_the_clock():
    calls = []
    body = b"[" + b"1," * 1_000_000 + b"1]"
    assert parse(body, lambda: calls.append(1)) == [1] * 1_000_001
    assert len(calls) > 20

    def too_late():
        raise ServingError("DEADLINE_EXCEEDED", "late")

    with pytest.raises(ServingError, match="late"):
        parse(body, too_late)
    with pytest.raises(ServingError, match=r"Invalid value. at offset: 2000001"):
        parse(body[:-2] + b"]")
