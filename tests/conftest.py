"""What all tests share: a quiet, thrifty backend, fixed seeds, and snapshots."""

import gc
import json
import os
import sys
from pathlib import Path

import pytest

# Read by the backends and Keras when they are imported, which test modules do later.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# JAX has float64 only where this is asked for. It compiles each operation for each
# shape, which is most of the time of these tests: what was compiled once is kept. Each
# worker has a cache of its own: JAX reads what another process has half written.
os.environ.setdefault("JAX_ENABLE_X64", "1")
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(__file__).parents[1] / ".jax_cache" / _WORKER),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
if os.environ["KERAS_BACKEND"] == "jax":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers are the parallelism: threads of several would only wait for cores.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption(
        "--update-snapshots",
        action="store_true",
        help="write the present values into the snapshot files instead of comparing",
    )
    parser.addoption(
        "--cases",
        type=int,
        metavar="N",
        help="of each parametrized test take the cases that it is marked with, or N",
    )
    parser.addoption(
        "--other-cases",
        type=int,
        metavar="N",
        help="take what `--cases=N` leaves out, and all that is slow",
    )


@pytest.hookimpl(trylast=True)  # after what `-m` and `-k` leave out
def pytest_collection_modifyitems(config, items):
    """Takes some cases of each test, or the others: see the two options.

    A test marked with `cases` names its own. The laws of the tree in `contracts` have a
    case for each file, and keep them all.
    """
    number = config.getoption("cases") or config.getoption("other_cases")
    if not number:
        return
    tests = {}
    for item in items:
        is_law = item.path.parent.name == "contracts"
        if not is_law and not item.get_closest_marker("slow"):
            tests.setdefault((item.path, item.originalname), []).append(item)
    left_out = set()
    for cases in tests.values():
        taken = named_cases(cases, config) or spread(cases, number)
        left_out.update(set(cases) - set(taken))
    if config.getoption("other_cases"):
        slow = {item for item in items if item.get_closest_marker("slow")}
        left_out = set(items) - left_out - slow
    config.hook.pytest_deselected(items=[x for x in items if x in left_out])
    items[:] = [x for x in items if x not in left_out]


def named_cases(cases, config):
    """The cases of a test that its mark `cases` names; none where it has no such mark.

    Raises:
        pytest.UsageError: If the test has no case of a name.
    """
    mark = cases[0].get_closest_marker("cases")
    if mark is None:
        return []
    by_name = {case.callspec.id: case for case in cases}
    unknown = set(mark.args) - set(by_name)
    is_whole = not config.getoption("keyword") and "[" not in "".join(config.args)
    if unknown and is_whole:
        raise pytest.UsageError(
            f"{cases[0].path}::{cases[0].originalname} has no cases "
            f"{sorted(unknown)}; it has {sorted(by_name)}"
        )
    return [case for name, case in by_name.items() if name in mark.args]


def spread(cases, number):
    """Some of the cases as evenly as can be: the middle one, or first, ..., last."""
    if number >= len(cases):
        return cases
    if number == 1:
        return [cases[len(cases) // 2]]
    last = len(cases) - 1
    return [cases[round(i * last / (number - 1))] for i in range(number)]


def pytest_collection_finish():
    leave_out_of_searches()


def leave_out_of_searches():
    """Leaves what there is out of later searches for garbage.

    Tracing and Keras start many of them (`Layer.quantize` one for each weight that it
    deletes), and TensorFlow never lets go of graphs with gradients of their own: after
    some thousand tests a search would take seconds.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds every generator, so that a test gives the same result in any order."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(7)


@pytest.fixture(autouse=True, scope="module")
def _few_executables():
    """Lets go of what JAX has compiled: a process can map only so much code."""
    yield
    if os.environ["KERAS_BACKEND"] == "jax":
        sys.modules["jax"].clear_caches()
    leave_out_of_searches()


@pytest.fixture
def snapshot(request):
    """A function `snapshot(name, value)`: the value is as `snapshots/<name>.json` says.

    The folder `snapshots` lies beside the test file. `--update-snapshots` writes it.
    """

    def check(name, value):
        path = Path(request.path).parent / "snapshots" / f"{name}.json"
        text = json.dumps(value, indent=2) + "\n"
        if request.config.getoption("--update-snapshots"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no snapshot {path}: `make snapshots` writes it"
        assert json.loads(text) == json.loads(path.read_text(encoding="utf-8")), (
            f"{path} says otherwise; if the change is meant, `make snapshots`"
        )

    return check
