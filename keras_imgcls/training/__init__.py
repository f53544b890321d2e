"""From a model and batches to trained weights: the learner, what it is told, the loop and what survives a kill."""
