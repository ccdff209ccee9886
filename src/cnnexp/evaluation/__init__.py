"""What a trained network does on the test set, in numbers: plain functions of tensors and networks."""
