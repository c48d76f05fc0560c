"""A whole attention layer beside `keras.layers.MultiHeadAttention`."""
