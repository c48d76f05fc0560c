"""`python -m keras_performer` is the command `keras-performer`."""

import sys

from keras_performer.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
