"""What a server does under load: requests each second and waiting times.

    python -m benchmarks.serving_load saved_models/documents

Two servers of this machine, one that joins requests into batches and one that does
not, take turns. Clients send one short text after the other; with `--long-clients`
others send long ones beside them. Each answer is compared with the one that its text
gets alone; one that is wrong or missing ends the program without figures.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import statistics
import time
from urllib.parse import urlsplit

from keras_performer.server import ServerOptions, ServerProcess

BATCHING = pathlib.Path(__file__).parents[1] / "serving" / "batching.config"
TOLERANCE = 1e-6  # of a probability
NUM_TEXTS = 32
WORDS = "it was the best of times and the worst of a dark and stormy night "


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="folder of a model")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=50, help="of each client")
    parser.add_argument("--text-bytes", type=int, default=200)
    parser.add_argument("--long-clients", type=int, default=0)
    parser.add_argument("--long-bytes", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=300, help="limit of a round")
    parser.add_argument("--batching-parameters-file", default=str(BATCHING))
    arguments = parser.parse_args()
    common = {
        "model_name": arguments.model.name,
        "model_base_path": str(arguments.model.resolve()),
        "rest_api_port": 0,
        "rest_api_timeout_in_ms": 0,
    }
    batching = {
        "enable_batching": True,
        "batching_parameters_file": arguments.batching_parameters_file,
    }
    rates = {"one by one": [], "in batches": []}  # requests in a processor second
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(ServerProcess(ServerOptions(**common, **more)))
            for name, more in zip(rates, ({}, batching), strict=True)
        }
        load = Load(arguments, servers["one by one"].url)
        for _ in range(arguments.rounds):
            for name, server in servers.items():
                rates[name].append(load.run(name, server))
        for name, server in servers.items():
            print(f"{name}: at most {server.peak_memory() / 2**20:.0f} MiB")
    ratios = [
        batched / alone
        for alone, batched in zip(rates["one by one"], rates["in batches"], strict=True)
    ]
    ratio = statistics.median(ratios)
    print(f"in batches / one by one: {ratio:.2f} requests in a processor second")


class Load:
    """The clients of one run.

    Args:
        arguments: as of the command line.
        url: of a server that is asked what each text gets alone.
    """

    def __init__(self, arguments, url):
        self._arguments = arguments
        self._target = f"/v1/models/{arguments.model.name}:predict"
        self._requests = [
            self._make_request(number, arguments.text_bytes)
            for number in range(NUM_TEXTS)
        ]
        self._long_request = self._make_request(0, arguments.long_bytes)
        self._expected = asyncio.run(self._ask_alone(url))

    def run(self, name, server):
        """Prints a line for one run; returns the requests in a processor second.

        Other work on the machine takes from the requests in a second, and not from
        these.
        """
        limit = self._arguments.seconds
        before = read_processor_seconds(server.pid)
        seconds, waits, long_waits = asyncio.run(
            asyncio.wait_for(self._run(server.url), limit)
        )
        processor_seconds = read_processor_seconds(server.pid) - before
        rate = len(waits) / processor_seconds
        print(
            f"{name}: {len(waits) / seconds:.0f} requests/s, "
            f"{rate:.0f} in a processor second, {describe(waits)}",
            end="",
        )
        print(f"; long: {describe(long_waits)}" if long_waits else "", flush=True)
        return rate

    def _make_request(self, number, num_bytes):
        text = (WORDS[number:] + WORDS * (num_bytes // len(WORDS) + 1))[:num_bytes]
        body = json.dumps({"instances": [text]}).encode()
        head = f"POST {self._target} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body

    async def _ask_alone(self, url):
        async with connect(url) as ask:
            return [await ask(request) for request in self._requests]

    async def _run(self, url):
        waits, long_waits, ended = [], [], asyncio.Event()

        async def send_long():
            async with connect(url) as ask:
                while not ended.is_set():
                    started = time.perf_counter()
                    await ask(self._long_request)
                    long_waits.append(time.perf_counter() - started)

        async def send_short(client):
            async with connect(url) as ask:
                for number in range(self._arguments.requests):
                    index = (client + number) % NUM_TEXTS
                    started = time.perf_counter()
                    answer = await ask(self._requests[index])
                    waits.append(time.perf_counter() - started)
                    self._check(answer, self._expected[index])

        long_clients = [
            asyncio.ensure_future(send_long())
            for _ in range(self._arguments.long_clients)
        ]
        await asyncio.sleep(2 if long_clients else 0)  # all are being computed
        started = time.perf_counter()
        clients = map(send_short, range(self._arguments.clients))
        await asyncio.gather(*clients)
        seconds = time.perf_counter() - started
        ended.set()
        await asyncio.gather(*long_clients)
        return seconds, waits, long_waits

    def _check(self, answer, expected):
        [row], [expected_row] = answer["predictions"], expected["predictions"]
        for one, other in zip(
            row["probabilities"], expected_row["probabilities"], strict=True
        ):
            if not abs(one - other) <= TOLERANCE:
                raise SystemExit(f"Wrong answer: {row}, alone {expected_row}")


@contextlib.asynccontextmanager
async def connect(url):
    """A function that sends the bytes of a request and returns the parsed answer."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)

    async def ask(request):
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        if head.split()[1] != "200":
            raise SystemExit(f"No answer: {body.decode()}")
        return json.loads(body)

    try:
        yield ask
    finally:
        writer.close()
        await writer.wait_closed()


def read_processor_seconds(pid):
    """Processor time of all threads of a process."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def describe(seconds):
    """The median and the 99th percentile."""
    ordered = sorted(seconds)
    p99 = ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)]
    return f"p50 {1e3 * statistics.median(seconds):.1f} ms, p99 {1e3 * p99:.1f} ms"


if __name__ == "__main__":
    main()
