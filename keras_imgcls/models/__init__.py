"""Networks: a body is a function from tensor to tensor, and `classifier.build` makes a classifier of it."""
