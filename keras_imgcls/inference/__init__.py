"""From pixels, files and folders to probabilities, with the model that a run trained."""
