"""Small tables of documents with several labels, or with a number."""

import json
import random

from small_corpus import SHARED

WORDS = {
    "sea": ["ship", "sail", "storm", "wave", "anchor", "harbour"],
    "farm": ["field", "plough", "barn", "horse", "wheat", "fence"],
    "war": ["sword", "siege", "army", "truce", "flag", "march"],
}


def write_labels(path, documents=60, words=40):
    """Writes `path.jsonl`: documents that have none to all of three labels."""
    path = path.with_suffix(".jsonl")
    rows = []
    for index in range(documents):
        generator = random.Random(f"labels {index}")
        labels = [label for label in WORDS if generator.random() < 0.4]
        own = [word for label in labels for word in WORDS[label]]
        text = generator.choices([*own, *SHARED], k=words)
        rows.append({"text": " ".join(text), "label": labels})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_numbers(path, documents=80, words=40):
    """Writes `path.csv`: years from 1900 to 2000 that a document's words tell."""
    path = path.with_suffix(".csv")
    rows = ["label,text"]
    for index in range(documents):
        generator = random.Random(f"numbers {index}")
        share = generator.random()
        text = [
            generator.choice(WORDS["war" if generator.random() < share else "farm"])
            for _ in range(words)
        ]
        rows.append(f"{1900 + 100 * share:.1f},{' '.join(text)}")
    path.write_text("\n".join(rows) + "\n")
    return path
