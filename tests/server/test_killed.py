"""Killed at any time, the server serves the last good version when it starts again.

KILLS=200 python -m pytest -n 0 -s tests/server/test_killed.py -m slow
"""

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from served_models import save_everything

from keras_performer.server import ServerOptions, ServerProcess, get_status, predict

KILLS = int(os.environ.get("KILLS", "12"))


class Exporter:
    """Puts versions that answer with their number into a folder; some cannot be loaded.

    Attributes:
        last: number of the last version that can be loaded.
    """

    def __init__(self, base_path, template, seed):
        self._base_path = base_path
        self._templates = template
        self._random = random.Random(seed)
        self._number = 0
        self._lock = threading.Lock()
        self.last = 0
        self.add(is_good=True)

    def add(self, is_good=None):
        """Exports the next version; gets rid of those that are long past."""
        if is_good is None:
            is_good = self._random.random() < 0.6
        with self._lock:
            self._number += 1
            number = self._number
            # Two models take turns, so that an answer tells which of them it is from.
            source = self._templates[number % 2]
            aside = self._base_path / f".{number}"
            shutil.copytree(source, aside)
            if not is_good:
                file = aside / "saved_model.pb"
                file.write_bytes(file.read_bytes()[: self._random.randrange(1, 3000)])
            aside.rename(self._base_path / str(number))
            if is_good:
                self.last = number
            for old in range(1, self.last - 3):
                shutil.rmtree(self._base_path / str(old), ignore_errors=True)

    def run(self, ended):
        """Exports until `ended` is set."""
        while not ended.wait(self._random.uniform(0.1, 1.5)):
            self.add()


@pytest.mark.slow
def test_the_last_good_version_serves_after_every_kill(tmp_path):
    templates = [
        save_everything(tmp_path / "templates", n + 1, offset=float(n))
        for n in range(2)
    ]
    base_path = tmp_path / "m"
    base_path.mkdir()
    exporter = Exporter(base_path, templates, seed=1)
    generator = random.Random(2)
    options = ServerOptions(
        model_name="m",
        model_base_path=base_path,
        rest_api_port=0,
        file_system_poll_wait_seconds=0.1,
        max_num_load_retries=0,
    )
    with ServerProcess(options) as server:
        seconds_to_start = read_processor_seconds(server.pid)
    num_ready = 0
    for number in range(KILLS):
        ended = threading.Event()
        exporting = threading.Thread(target=exporter.run, args=(ended,))
        exporting.start()
        try:
            server = ServerProcess(options)
            seconds = generator.uniform(0.1, 2 * seconds_to_start)
            good = exporter.last
            killing = threading.Thread(target=kill, args=(server, seconds, ended))
            killing.start()
            with contextlib.suppress(RuntimeError, ConnectionError), server:
                states = get_status(server.url, "m")
                assert max(v for v in states if states[v] == "AVAILABLE") >= good
                num_ready += 1
                while True:  # until it is killed, in a load or between two
                    [answer] = predict(server.url, "m", [0], signature_name="add")
                    assert answer in (0, 1)
            assert server.wait(0) == -signal.SIGKILL  # and nothing else ended it
        finally:
            ended.set()
            exporting.join()
            killing.join()
        print(f"{number + 1} kills, {num_ready} of them of a server that served")
    with ServerProcess(options) as server:
        end = time.monotonic() + 20
        while get_status(server.url, "m").get(exporter.last) != "AVAILABLE":
            assert time.monotonic() < end
            time.sleep(0.1)
        [answer] = predict(server.url, "m", [0], signature_name="add")
        assert answer == exporter.last % 2
        assert "Traceback" not in server.read_output()


def kill(server, seconds, ended):
    """Kills a server after so much processor time: clocks vary with the load."""
    while not ended.wait(0.01):
        with contextlib.suppress(OSError, AttributeError):  # before it has begun
            if read_processor_seconds(server.pid) >= seconds:
                os.kill(server.pid, signal.SIGKILL)
                return


def read_processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
