"""A line for each request, which no client can forge."""

import io
import json

from running_app import ask, running

from keras_performer.server.access_log import AccessLog, AccessRecord

RECORD = AccessRecord("127.0.0.1", "POST", "/a\nb" + "c" * 300, 200, 5, 7, 1.23456)


def test_json():
    file = io.StringIO()
    log = AccessLog("json", file)
    log.write(RECORD)
    log.write(RECORD)
    first, second = map(json.loads, file.getvalue().splitlines())
    assert (first["request"], second["request"]) == (1, 2)
    assert first["status"] == 200
    assert first["milliseconds"] == 1.235
    assert len(first["path"]) == 200


def test_text():
    file = io.StringIO()
    AccessLog("text", file).write(RECORD)
    [line] = file.getvalue().splitlines()
    assert ' 1 127.0.0.1 POST "/a\\nbccc' in line
    assert line.endswith('c" 200 5 7 1.235')


def test_nothing():
    file = io.StringIO()
    AccessLog("", file).write(RECORD)
    assert file.getvalue() == ""


def test_a_file_that_is_closed_is_no_error():
    file = io.StringIO()
    file.close()
    AccessLog("json", file).write(RECORD)


def test_the_server_writes_it_also_for_what_it_refuses():
    file = io.StringIO()
    log = AccessLog("json", file)
    with running(access_log=log, max_request_bytes=100) as (port, _):
        ask(port, "/some?query=1", b"12345")
        ask(port, "/fail", b"")
        ask(port, "/", b"x" * 101)
    records = [json.loads(line) for line in file.getvalue().splitlines()]
    told = [(r["path"], r["status"], r["request_bytes"]) for r in records]
    assert told == [("/some", 200, 5), ("/fail", 500, 0), ("/", 413, 0)]
    assert records[0]["answer_bytes"] == len(b"POST /some?query=1 5")
    assert records[0]["milliseconds"] > 0
