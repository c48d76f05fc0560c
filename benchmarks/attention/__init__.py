"""The attention core beside other implementations."""
