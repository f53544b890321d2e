"""Augmentation: one batched function, per sample, whose pixels depend on seed, epoch and sample alone."""
