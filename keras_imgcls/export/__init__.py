"""From a run to files that run without this package, each proven against the trained model before it is kept."""
