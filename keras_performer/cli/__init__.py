"""The command `keras-performer`."""
