"""What a server does under load: requests each second and waiting times.

    python -m benchmarks.serving_load saved_models/documents

Two servers of this machine, one that joins requests into batches and one that does
not, take turns. Clients send one short text after the other; with `--long-clients`
others send long ones beside them. Each answer is compared with the one that its text
gets alone; one that is wrong or missing ends the program without figures.

    python -m benchmarks.serving_load saved_models/documents --minutes 10

A server as it is by default, but without a time limit, and clients that each send one
text after the other, of 100 bytes to 1 MB, ten times as long a third as often; answers
that are wrong or missing are counted. The table goes into `benchmarks/README.md`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import re
import statistics
import time
from urllib.parse import urlsplit

from keras_performer.server import ServerOptions, ServerProcess

BATCHING = pathlib.Path(__file__).parents[1] / "serving" / "batching.config"
TOLERANCE = 1e-6  # of a probability
NUM_TEXTS = 32
MIXED_LENGTHS = tuple(round(100 * 10 ** (power / 3)) for power in range(13))
README = pathlib.Path(__file__).with_name("README.md")
TABLE = re.compile(r"(?<=<!-- mixed load -->\n).*?(?=<!-- end -->)", re.DOTALL)
WORDS = "it was the best of times and the worst of a dark and stormy night "


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="folder of a model")
    parser.add_argument("--clients", type=int, help="16, with --minutes 8")
    parser.add_argument("--minutes", type=float, help="of texts of mixed lengths")
    parser.add_argument("--intra-op-parallelism", type=int, default=0)
    parser.add_argument("--requests", type=int, default=50, help="of each client")
    parser.add_argument("--text-bytes", type=int, default=200)
    parser.add_argument("--long-clients", type=int, default=0)
    parser.add_argument("--long-bytes", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=300, help="limit of a round")
    parser.add_argument("--batching-parameters-file", default=str(BATCHING))
    arguments = parser.parse_args()
    if arguments.minutes:
        run_mixed_load(arguments)
    else:
        compare_batches(arguments)


def compare_batches(arguments):
    """Short texts, one by one and in batches."""
    arguments.clients = arguments.clients or 16
    common = make_options(arguments)
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


def make_options(arguments):
    return {
        "model_name": arguments.model.name,
        "model_base_path": str(arguments.model.resolve()),
        "rest_api_port": 0,
        "rest_api_timeout_in_ms": 0,
        "tensorflow_intra_op_parallelism": arguments.intra_op_parallelism,
    }


def run_mixed_load(arguments):
    """Texts of all lengths to one server; writes the table."""
    arguments.clients = arguments.clients or 8
    with ServerProcess(ServerOptions(**make_options(arguments))) as server:
        at_rest, start = read_memory(server.pid), read_processor_seconds(server.pid)
        load = MixedLoad(arguments, server.url)
        before = read_processor_seconds(server.pid)
        seconds = asyncio.run(load.run(server.url, 60 * arguments.minutes))
        used = read_processor_seconds(server.pid) - before
        peak = server.peak_memory()
    rate, per_second, per_processor_second = (
        load.num_answers / seconds,
        load.num_bytes / seconds / 1e3,
        load.num_bytes / used / 1e3,
    )
    summary = (
        f"{arguments.clients} clients, {arguments.minutes:g} minutes: "
        f"{load.num_answers} answers, {load.num_wrong} wrong, {load.num_lost} lost;\n"
        f"{rate:.1f} in a second, {per_second:.0f} kB of text in a second and "
        f"{per_processor_second:.0f} in one of processor time;\n"
        f"at most {peak / 2**20:.0f} MiB, {at_rest / 2**20:.0f} MiB after a start of "
        f"{start:.1f} s of processor time."
    )
    lines = [
        summary,
        "",
        "| bytes of a text | answers | p50 | p99 |",
        "|---|---|---|---|",
        *load.describe(),
    ]
    table = "\n".join(lines)
    print(table)
    page = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: f"\n{table}\n\n", page), encoding="utf-8")


class MixedLoad:
    """Clients that send texts of all lengths.

    Args:
        arguments: as of the command line.
        url: of the server, which is first asked what each text gets alone.
    """

    def __init__(self, arguments, url):
        self._num_clients = arguments.clients
        self._requests = [
            make_request(arguments.model.name, number, length)
            for number, length in enumerate(MIXED_LENGTHS)
        ]
        self._waits = {length: [] for length in MIXED_LENGTHS}
        self.num_wrong = self.num_lost = 0
        self._expected = asyncio.run(ask_alone(url, self._requests))

    @property
    def num_answers(self):
        return sum(map(len, self._waits.values()))

    @property
    def num_bytes(self):
        return sum(length * len(waits) for length, waits in self._waits.items())

    async def run(self, url, seconds):
        """Sends for so long; returns the seconds until the last answer."""
        started = time.perf_counter()
        await asyncio.gather(
            *(
                self._send(url, random.Random(client), started + seconds)
                for client in range(self._num_clients)
            )
        )
        return time.perf_counter() - started

    async def _send(self, url, generator, end):
        weights = [length**-0.5 for length in MIXED_LENGTHS]
        while time.perf_counter() < end:
            try:
                async with connect(url) as ask:
                    while time.perf_counter() < end:
                        [index] = generator.choices(range(len(weights)), weights)
                        await self._send_one(ask, index)
            except (NoAnswerError, ConnectionError, EOFError) as error:
                print(f"Lost: {error}", flush=True)
                self.num_lost += 1
                await asyncio.sleep(1)

    async def _send_one(self, ask, index):
        started = time.perf_counter()
        answer = await ask(self._requests[index])
        self._waits[MIXED_LENGTHS[index]].append(time.perf_counter() - started)
        if not is_equal(answer, self._expected[index]):
            print(f"Wrong: {answer}, alone {self._expected[index]}", flush=True)
            self.num_wrong += 1

    def describe(self):
        """Rows of the table: three lengths, a power of ten, in each."""
        for start in range(0, len(MIXED_LENGTHS), 3):
            lengths = MIXED_LENGTHS[start : start + 3]
            waits = [wait for length in lengths for wait in self._waits[length]]
            span = f"{lengths[0]:,}" + (f" to {lengths[-1]:,}" if lengths[1:] else "")
            p50, p99 = describe(waits).removeprefix("p50 ").split(", p99 ")
            yield f"| {span} | {len(waits)} | {p50} | {p99} |"


class NoAnswerError(RuntimeError):
    """The server refused a request."""


class Load:
    """The clients of one run.

    Args:
        arguments: as of the command line.
        url: of a server that is asked what each text gets alone.
    """

    def __init__(self, arguments, url):
        self._arguments = arguments
        name = arguments.model.name
        self._requests = [
            make_request(name, number, arguments.text_bytes)
            for number in range(NUM_TEXTS)
        ]
        self._long_request = make_request(name, 0, arguments.long_bytes)
        self._expected = asyncio.run(ask_alone(url, self._requests))

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
                    if not is_equal(answer, self._expected[index]):
                        expected = self._expected[index]
                        raise SystemExit(f"Wrong answer: {answer}, alone {expected}")

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


def make_request(model_name, number, num_bytes):
    """The bytes of a request."""
    text = (WORDS[number:] + WORDS * (num_bytes // len(WORDS) + 1))[:num_bytes]
    body = json.dumps({"instances": [text]}).encode()
    head = (
        f"POST /v1/models/{model_name}:predict HTTP/1.1\r\nHost: h\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask_alone(url, requests):
    """The answer of each of the requests, one after the other."""
    async with connect(url) as ask:
        return [await ask(request) for request in requests]


def is_equal(answer, expected):
    [row], [expected_row] = answer["predictions"], expected["predictions"]
    pairs = zip(row["probabilities"], expected_row["probabilities"], strict=True)
    return all(abs(one - other) <= TOLERANCE for one, other in pairs)


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
            raise NoAnswerError(body.decode())
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


def read_memory(pid):
    """Bytes of memory that a process holds."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def describe(seconds):
    """The median and the 99th percentile."""
    ordered = sorted(seconds)
    p99 = ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)]
    return f"p50 {1e3 * statistics.median(seconds):.1f} ms, p99 {1e3 * p99:.1f} ms"


if __name__ == "__main__":
    main()
