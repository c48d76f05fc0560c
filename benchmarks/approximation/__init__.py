"""The error of random feature maps and projections."""
