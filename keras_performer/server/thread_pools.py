"""The threads that TensorFlow computes with, shared among short and long requests.

Each op of a request waits for a thread of a pool, and a long request has as many ops as
a short one, each a thousand times longer. So that a short one need not wait for them,
long requests have a pool of their own, to whose threads the operating system gives less
of the processors while others want them.
"""

import contextlib
import functools
import logging
import os
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import rewriter_config_pb2

from keras_performer.server import tensorflow_core as tf

_logger = logging.getLogger(__name__)

SHORT_POOL, LONG_POOL = 0, 1  # as of `tf.compat.v1.RunOptions.inter_op_thread_pool`

_NICENESS = 10  # a tenth of the share of others that want a processor too


def count_op_threads() -> int:
    """Threads to work on one op, where short requests meet long ones.

    What an op leaves to other threads waits there behind what the ops of long requests
    leave to them. Where each op keeps to its thread, the operating system decides.

    Returns:
        One for each four processors, and at least one.
    """
    return max((os.cpu_count() or 1) // 4, 1)


def make_session_config(
    intra_op_parallelism: int = 0, inter_op_parallelism: int = 16
) -> Any:
    """The pools of threads of a session, and how its graphs are prepared.

    TensorFlow's own pool for all sessions has as many threads as there are processors,
    so that a few long documents stop everyone.

    Args:
        intra_op_parallelism: threads that work on one op; 0 takes one for each
            processor.
        inter_op_parallelism: ops computed at a time, of short and of long requests.

    Returns:
        A `tf.compat.v1.ConfigProto`.
    """
    _start_long_pool(intra_op_parallelism, inter_op_parallelism)
    config = tf.ConfigProto(intra_op_parallelism_threads=intra_op_parallelism)
    config.session_inter_op_thread_pool.add(num_threads=inter_op_parallelism)
    _add_long_pool(config, inter_op_parallelism)
    # The graph of each signature is optimized at its first run, for a second or more.
    # A second pass over it, and the passes in MLIR, take a third of that, and made
    # nothing faster that was measured.
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    rewriting.disable_tfg_optimizer = True
    return config


def _add_long_pool(config: Any, num_threads: int) -> None:
    # A pool with a name is one for all sessions of the process.
    config.session_inter_op_thread_pool.add(
        num_threads=num_threads, global_name=f"long_requests_{num_threads}"
    )


@functools.cache
def _start_long_pool(intra_op_parallelism: int, num_threads: int) -> None:
    """Start the threads of the pool, and let them give way to others.

    TensorFlow does not tell which threads are whose, so they are those that begin with
    a session that has this pool alone.
    """
    config = tf.ConfigProto(
        intra_op_parallelism_threads=intra_op_parallelism,
        inter_op_parallelism_threads=1,
        use_per_session_threads=True,
    )
    tf.Session(graph=tf.Graph(), config=config).close()
    with contextlib.suppress(OSError):  # a system without /proc has no such threads
        before = _list_threads()
        config = tf.ConfigProto(intra_op_parallelism_threads=intra_op_parallelism)
        _add_long_pool(config, num_threads)
        tf.Session(graph=tf.Graph(), config=config).close()
        started = _list_threads() - before
        niceness = os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS
        for thread in started:
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
        _logger.debug("Threads for long requests: %s", sorted(started))


def _list_threads() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/task").iterdir()}
