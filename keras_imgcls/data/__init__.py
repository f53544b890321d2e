"""From files and archives to batches of pixels: what the samples are, how they are split, ordered, decoded and fed."""
