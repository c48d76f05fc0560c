"""The kind of processor, from `/proc/cpuinfo`."""

from benchmarks import processor


def test_what_the_benchmarks_say_of_a_processor(monkeypatch):
    fields = {"model name": "Intel(R) Xeon(R)", "cpu family": "6", "model": "207"}
    monkeypatch.setattr(processor, "fields", lambda: fields)
    assert processor.describe() == "Intel(R) Xeon(R) (family 6, model 207), no AVX-512"
    fields["flags"] = "sse avx2 avx512f"
    assert processor.describe() == "Intel(R) Xeon(R) (family 6, model 207), AVX-512"


def test_it_says_something_here():
    assert processor.describe().endswith("AVX-512")
