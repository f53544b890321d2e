"""What every room uses and what needs no TensorFlow: options, specs, registries, files, the console, the run directory."""
