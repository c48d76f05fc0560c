"""`JsonLines`: a JSON object a line."""

import json
from collections.abc import Iterator
from typing import Any

from keras_performer.text.readers.table import Row, Table


class JsonLines(Table):
    """A file with a JSON object a line, as `.jsonl` and `.ndjson` are."""

    def rows(self) -> Iterator[Row]:
        for line, start, stop, text in self.lines():
            if not text.isspace():
                yield Row(line, start, stop, self._parse(text, line))

    def text_of(self, data: bytes) -> str:
        return json.loads(data.decode("utf-8"))[self.columns[0]]

    def _parse(self, text: str, line: int) -> dict[str, Any]:
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            if line == 1 and text.lstrip().startswith("["):
                raise self._array_error(line) from error
            raise ValueError(
                f"{self.where(line)} is no JSON: {error.msg} at character "
                f"{error.pos + 1}. Expected an object a line, such as "
                f'{{"{self.columns[0]}": "..."}}. Mend or remove the line.'
            ) from error
        except (RecursionError, ValueError) as error:  # too deep, or too long a number
            raise ValueError(
                f"{self.where(line)} is no JSON that can be read: {error}. Mend or "
                "remove the line."
            ) from error
        if isinstance(values, list):
            raise self._array_error(line)
        if not isinstance(values, dict):
            raise ValueError(
                f"{self.where(line)} is {text.strip()[:40]!r}. Expected an object a "
                f'line, such as {{"{self.columns[0]}": "..."}}.'
            )
        return values

    def _array_error(self, line: int) -> ValueError:
        return ValueError(
            f"{self.where(line)} begins a JSON array. Expected an object a line: "
            "convert it, for example with `jq -c '.[]' IN.json > OUT.jsonl`."
        )
