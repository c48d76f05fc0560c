"""The part of TensorFlow that the server needs: sessions, types and messages.

Each name comes from the module that has it, as the package `tensorflow` itself would
load all of its interface.
"""

from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.protobuf.config_pb2 import ConfigProto, RunOptions
from tensorflow.python.client.session import Session
from tensorflow.python.framework import errors
from tensorflow.python.framework.dtypes import (
    DType,
    as_dtype,
    float32,
    int32,
    int64,
    resource,
    string,
    uint32,
    variant,
)
from tensorflow.python.framework.load_library import load_library
from tensorflow.python.framework.ops import Graph
from tensorflow.python.framework.tensor_util import MakeNdarray as make_ndarray
from tensorflow.python.framework.tensor_util import make_tensor_proto
from tensorflow.python.framework.versions import VERSION as __version__
from tensorflow.python.lib.io._pywrap_record_io import RecordIterator
from tensorflow.python.platform.tf_logging import get_logger
from tensorflow.python.saved_model import signature_constants as signatures
from tensorflow.python.saved_model.loader_impl import load as load_saved_model
