"""Faults put into the package on purpose, and the test of `make test` that sees each.

A suite is chosen by what it would miss. Each mutant below replaces one piece of code,
as a slip of the hand would; the named test, run alone against it, has to fail. `make
test-mutants` runs them all, `python tests/mutants.py -k causal` some of them.

    $ python tests/mutants.py --list
"""

import argparse
import functools
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_performer"
# Of each parametrized test, as the Makefile's: a mutant is to be seen by `make test`.
CASES = 1


class Mutant(NamedTuple):
    """One replacement in a file of the package, and the test that sees it."""

    path: str  # below keras_performer/
    code: str  # stands exactly once in the file
    replacement: str
    killed_by: str  # below tests/

    @property
    def name(self):
        """What the mutant is called in reports."""
        return f"{self.path}: {self.code.strip()} -> {self.replacement.strip()}"

    def apply(self, source):
        """The source of the file with the fault in it.

        Raises:
            ValueError: If the code does not stand exactly once in the source.
        """
        if self.code == self.replacement or source.count(self.code) != 1:
            raise ValueError(
                "The code of a mutant must stand exactly once in its file, and must "
                f"change. Received: {self.name!r}, found {source.count(self.code)} "
                "times"
            )
        return source.replace(self.code, self.replacement)


MUTANTS = (
    Mutant(
        "ops/causal.py",
        "carry = tuple(x * kept for x in carry)",
        "carry = tuple(x * 1 for x in carry)",
        "ops/test_decay.py::test_value_and_gradients",
    ),
    Mutant(
        "ops/decay.py",
        "return ops.where(mask, log_decay, ops.zeros_like(log_decay))",
        "return log_decay",
        "ops/test_decay.py::test_what_is_hidden_neither_adds_nor_forgets",
    ),
    Mutant(
        "ops/windowed_chunks.py",
        "at_keys = at_keys - at_keys[..., -1:]",
        "at_keys = at_keys * 1",
        "ops/test_decay.py::test_value_and_gradients",
    ),
    Mutant(
        "layers/short_convolution.py",
        "behind = 0 if self.causal else (self.width - 1) // 2",
        "behind = 0",
        "layers/test_short_convolution.py::test_the_output_by_the_formula",
    ),
    Mutant(
        "ops/causal.py",
        "scores = scores * ops.tile(earlier, (rows // size, 1))",
        "scores = scores * 1",
        "ops/test_causal.py::test_the_past_is_bit_equal_whatever_follows",
    ),
    Mutant(
        "ops/causal.py",
        "added.dtype), k=-1)",
        "added.dtype), k=0)",
        "ops/test_causal.py::test_value_and_gradients",
    ),
    Mutant(
        "ops/causal.py",
        "ops.tile(earlier, (rows // size, 1))",
        "ops.repeat(earlier, rows // size, axis=0)",
        "ops/test_grouped_heads.py::test_value_and_gradients",
    ),
    Mutant(
        "ops/causal.py",
        "added = added + last_nan",
        "added = added + ops.zeros_like(last_nan)",
        "ops/test_nonfinite.py::test_a_nonfinite_key_reaches_its_future_alone",
    ),
    Mutant(
        "ops/bidirectional.py",
        "return (carry[0] + kernel_sums.outer_sum(values, features),), ()",
        "return (kernel_sums.outer_sum(values, features),), ()",
        "ops/test_bidirectional.py::test_value_and_gradients",
    ),
    Mutant(
        "ops/kernel_sums.py",
        "weight = weight * ops.cast(mask, weight.dtype)",
        "weight = weight + 0 * ops.cast(mask, weight.dtype)",
        "ops/test_linear_attention.py::test_padded_is_as_unpadded",
    ),
    Mutant(
        "ops/kernel_sums.py",
        "LOG_WEIGHT_RANGE = (-80.0, 60.0)",
        "LOG_WEIGHT_RANGE = (-80.0, 600.0)",
        "ops/test_linear_attention.py::test_keys_along_a_row_of_the_projection_stay_finite",
    ),
    Mutant(
        "ops/kernel_sums.py",
        "denominator = -ops.sum(",
        "denominator = ops.sum(",
        "ops/test_bidirectional.py::test_value_and_gradients",
    ),
    Mutant(
        "ops/accumulation.py",
        "added = added - compensation",
        "added = added + 0 * compensation",
        "ops/test_accumulation.py::test_kahan_add_keeps_what_rounding_loses",
    ),
    Mutant(
        "ops/accumulation.py",
        '"float64" if backend.standardize_dtype(x.dtype) == "float64" else "float32"',
        "backend.standardize_dtype(x.dtype)",
        "ops/test_accumulation.py::test_sums_are_never_narrower_than_float32",
    ),
    Mutant(
        "ops/nonfinite.py",
        "nonfinite = nonfinite * ops.cast(chunk.mask[:, None], nonfinite.dtype)",
        "nonfinite = nonfinite * 1",
        "ops/test_nonfinite.py::test_what_is_hidden_may_be_nonfinite",
    ),
    Mutant(
        "ops/segments.py",
        "segment_ids[:, 1:] != segment_ids[:, :-1]",
        "segment_ids[:, 1:] > segment_ids[:, :-1]",
        "ops/test_segments.py::test_a_segment_begins_where_the_id_changes",
    ),
    Mutant(
        "ops/segments.py",
        "values * lasting",
        "values",
        "ops/test_packed.py::test_value_and_gradients",
    ),
    Mutant(
        "ops/streams.py",
        "sums = kahan_add(*before, kernel_sums.outer_sum(values, keys))",
        "sums = kahan_add(*before, kernel_sums.outer_sum(values, keys) * 2)",
        "ops/test_streams.py::test_steps_give_what_the_whole_gives",
    ),
    Mutant(
        "ops/streams.py",
        "number = lengths[-1] - kept",
        "number = lengths[-1] - kept - 1",
        "ops/test_streams.py::test_split_and_resume_with_a_window",
    ),
    Mutant(
        "ops/positions.py",
        "ops.maximum(counts - 1, 0)",
        "counts",
        "ops/test_positions.py::test_positions_are_counted",
    ),
    Mutant(
        "ops/rotary.py",
        "second * cosines + first * sines",
        "second * cosines - first * sines",
        "ops/test_rotary.py::test_the_rotation",
    ),
    Mutant(
        "ops/rotary.py",
        "_BLOCK * frequencies, 2 * np.pi",
        "_BLOCK * frequencies, 3 * np.pi",
        "ops/test_rotary.py::test_digits_far_out",
    ),
    Mutant(
        "ops/windowed_chunks.py",
        "inner = max(window_size, chunk_size)",
        "inner = chunk_size",
        "ops/test_windowed.py::test_value_and_gradients",
    ),
    Mutant(
        "ops/projections/draws.py",
        "q * signs[:, None, :]",
        "q",
        "ops/test_projections.py::test_haar_moments_do_not_depend_on_the_basis",
    ),
    Mutant(
        "ops/projections/draws.py",
        "norms.chisquare(head_dim,",
        "norms.chisquare(head_dim + 1,",
        "ops/test_projections.py::test_norms_are_those_of_normal_rows",
    ),
    Mutant(
        "ops/backend/tensorflow.py",
        "d_shared = tuple(a + b for a, b in zip(d_shared, d_step, strict=True))",
        "d_shared = tuple(d_step)",
        "ops/test_backend.py::test_value_and_gradients",
    ),
    Mutant(
        "feature_maps/hyperbolic.py",
        "return 2 * super().size(head_dim, parameters)",
        "return super().size(head_dim, parameters)",
        "feature_maps/test_hyperbolic.py::test_features_are_bounded_and_their_weight_is_apart",
    ),
    Mutant(
        "feature_maps/generalized.py",
        "self.activation(x) + self.epsilon",
        "self.activation(x) - self.epsilon",
        "feature_maps/test_generalized.py::test_relu",
    ),
    Mutant(
        "feature_maps/trigonometric.py",
        "half_squared_norm - 0.5",
        "half_squared_norm + 0.5",
        "feature_maps/test_trigonometric.py::test_unbiased",
    ),
    Mutant(
        "ops/backend/tensorflow.py",
        "upstream * results[0]",
        "upstream",
        "feature_maps/test_softmax_kernel.py::test_the_gradient_is_that_of_the_exponential",
    ),
    Mutant(
        "layers/base_attention.py",
        "keys=rotary(keys, of_keys, self.rotary_base)",
        "keys=keys",
        "layers/test_sequences.py::test_only_distances_matter_to_an_exact_kernel",
    ),
    Mutant(
        "layers/base_attention.py",
        "output = ops.multiply(output, gate)",
        "output = ops.add(output, gate)",
        "layers/test_fast_attention.py::test_the_output_by_the_formula",
    ),
    Mutant(
        "layers/base_attention.py",
        "            set_keras_mask(output, query_mask)",
        "            pass",
        "layers/test_attention_masks.py::test_the_query_mask_passes_on_and_changes_nothing",
    ),
    Mutant(
        "layers/attention_masks.py",
        "ops.arange(target)[:, None] >= ops.arange(source)",
        "ops.arange(target)[:, None] > ops.arange(source)",
        "layers/test_sequences.py::test_scores_are_the_matrix_of_the_output",
    ),
    Mutant(
        "layers/fast_attention.py",
        "key_mask=key_mask,\n            segment_ids=inputs.segment_ids,",
        "segment_ids=inputs.segment_ids,",
        "layers/test_attention_masks.py::test_masked_keys_are_absent",
    ),
    Mutant(
        "layers/fast_attention.py",
        "if self.feature_map.adapts and training and self.trainable:",
        "if self.feature_map.adapts and self.trainable:",
        "layers/test_feature_weights.py::test_inference_changes_no_weight",
    ),
    Mutant(
        "layers/fast_attention.py",
        "state.position + counts",
        "state.position",
        "layers/test_streaming.py::test_any_cut_gives_the_whole",
    ),
    Mutant(
        "layers/feature_weights.py",
        "new * (1 - _MOMENTUM)",
        "new * _MOMENTUM",
        "layers/test_feature_weights.py::test_later_steps_move_the_average",
    ),
    Mutant(
        "layers/exact_attention.py",
        "return output * ops.expand_dims(ops.swapaxes(sees, 1, 2), -1)",
        "return output",
        "layers/test_exact_attention.py::test_rows_that_see_nothing_are_zeros",
    ),
    Mutant(
        "layers/masked_average_pooling.py",
        "ops.where(count > 0, count, 1.0)",
        "ops.where(count > 0, count, 0.0)",
        "layers/test_masked_average_pooling.py::test_where_nothing_counts_there_are_zeros",
    ),
    Mutant(
        "layers/masked_average_pooling.py",
        "x = ops.where(weights > 0, x, ops.zeros_like(x))",
        "x = x * 1",
        "layers/test_masked_average_pooling.py::test_the_mean_of_what_counts",
    ),
    Mutant(
        "models/token_generator.py",
        "tokens = np.where(stopped, 0, ops.convert_to_numpy(chosen))",
        "tokens = ops.convert_to_numpy(chosen)",
        "models/test_token_generator.py::test_stop_tokens",
    ),
    Mutant(
        "models/token_generator.py",
        "padded[:, start : start + size]",
        "padded[:, :size]",
        "models/test_token_generator.py::test_a_long_prompt_is_read_in_chunks",
    ),
    Mutant(
        "models/samplers/top_p_sampler.py",
        "axis=-1) - probabilities",
        "axis=-1)",
        "models/test_samplers.py::test_top_p",
    ),
    Mutant(
        "callbacks.py",
        "if self._samples > before:",
        "if self._samples >= before:",
        "callbacks/test_redraw_projections.py::test_the_draw_is_a_function_of_seed_step_and_place",
    ),
    Mutant(
        "callbacks.py",
        "(self.seed, step, index)",
        "(self.seed, step, 0)",
        "callbacks/test_redraw_projections.py::test_the_draw_is_a_function_of_seed_step_and_place",
    ),
    Mutant(
        "text/token_windows.py",
        "return ids[:-1], ids[1:]",
        "return ids[:-1], ids[:-1]",
        "text/test_token_windows.py::test_every_id_but_the_first_is_a_target_once",
    ),
    Mutant(
        "text/token_masking.py",
        "hidden = tf.where(action < _MASKED_SHARE, self.mask_id, hidden)",
        "hidden = tf.where(action > _MASKED_SHARE, self.mask_id, hidden)",
        "text/test_token_masking.py::test_the_chosen_are_masked_replaced_or_kept",
    ),
    Mutant(
        "export/classifier.py",
        "label = tf.gather(names, tf.argmax(probabilities, axis=-1))",
        "label = tf.gather(names, tf.argmin(probabilities, axis=-1))",
        "export/test_classifier.py::test_a_process_without_this_package_gets_the_same",
    ),
    Mutant(
        "server/json/writer.py",
        "sorted(outputs.items())\n    ]",
        "outputs.items()\n    ]",
        "server/json/test_writer.py::test_row_format_of_several_outputs",
    ),
    Mutant(
        "server/json/writer.py",
        "if not math.isfinite(number):",
        "if math.isnan(number):",
        "server/json/test_writer.py::test_float32",
    ),
)


def run(mutant, cases=CASES):
    """Whether a mutant's test fails, the seconds that it took, and what it printed.

    For a process of its own: the package must not have been imported.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / mutant.path
        path.write_text(mutant.apply(path.read_text("utf-8")), encoding="utf-8")
        printed = Path(folder) / "printed"
        with printed.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.dont_write_bytecode = True
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = folder  # for the processes that a test starts
        arguments = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
        test = ROOT / "tests" / mutant.killed_by
        status = pytest.main([*arguments, f"--cases={cases}", str(test)])
        imported = sys.modules.get(PACKAGE.name)
        if imported and Path(imported.__file__).parent != copy:
            raise RuntimeError(f"The tests imported {imported.__file__}, not the copy")
        sys.stdout.flush()
        output = printed.read_text("utf-8", errors="replace")
    return status == pytest.ExitCode.TESTS_FAILED, time.monotonic() - started, output


def main():
    """Runs the mutants; exits with the number of those that lived."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", default="", help="only those whose name or test has this")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--list", action="store_true", help="name them, run none")
    parser.add_argument(
        "--cases", type=int, default=CASES, help="as of pytest here; 0 for all cases"
    )
    arguments = parser.parse_args()
    chosen = [m for m in MUTANTS if arguments.k in f"{m.name} {m.killed_by}"]
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name}\n    {mutant.killed_by}")
        return 0
    lived = 0
    # Each mutant has a process of its own, forked from one that has imported what takes
    # seconds and is not ours.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["pytest", "keras", "tensorflow"])
    with processes.Pool(arguments.jobs, maxtasksperchild=1) as pool:
        runs = pool.imap(functools.partial(run, cases=arguments.cases), chosen)
        for mutant, (died, seconds, output) in zip(chosen, runs, strict=True):
            print(
                f"{'died' if died else 'LIVED'} {seconds:5.1f} s  {mutant.name}",
                flush=True,
            )
            if not died:
                lived += 1
                print(output)
    print(f"{len(chosen) - lived} died, {lived} lived")
    return lived


if __name__ == "__main__":
    sys.exit(main())
