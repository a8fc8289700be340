"""What the parts of the data path see of each other."""
