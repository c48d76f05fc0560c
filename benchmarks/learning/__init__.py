"""What models with each attention learn, with the same steps."""
