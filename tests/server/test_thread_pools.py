"""Long requests have threads of their own, which give way to others."""

import os
from pathlib import Path

import numpy as np
import pytest

from keras_performer.server.request_cost import LONG
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError
from keras_performer.server.thread_pools import count_op_threads, make_session_config


def nice_threads():
    here = os.getpriority(os.PRIO_PROCESS, 0)
    threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
    return {t for t in threads if os.getpriority(os.PRIO_PROCESS, t) > here}


def test_threads_for_long_requests_give_way():
    make_session_config()
    threads = nice_threads()
    assert len(threads) >= 16
    make_session_config()
    assert nice_threads() == threads  # one pool for all sessions


def test_the_ops_of_all_requests_have_threads_of_their_own():
    # TensorFlow's own pool has as many as there are processors.
    pools = make_session_config().session_inter_op_thread_pool
    assert [pool.num_threads for pool in pools] == [16, 16]
    config = make_session_config(3, 5)
    assert config.intra_op_parallelism_threads == 3
    pools = config.session_inter_op_thread_pool
    assert [pool.num_threads for pool in pools] == [5, 5]
    assert [bool(pool.global_name) for pool in pools] == [False, True]


@pytest.mark.parametrize(
    ("processors", "threads"), [(None, 1), (2, 1), (7, 1), (32, 8)]
)
def test_an_op_has_few_threads(monkeypatch, processors, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert count_op_threads() == threads


def test_long_requests_keep_their_time_limit(everything_path):
    servable = Servable(everything_path / "1")
    text = np.array([b"x" * LONG], object)
    signature = servable.get_signature("")
    assert servable.run(signature, {"text": text})["length"] == [LONG]
    slow = servable.get_signature("slow")
    steps = np.full([LONG], 2_000_000_000, np.int32)
    with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
        servable.run(slow, {"steps": steps}, 100)
    servable.close()
