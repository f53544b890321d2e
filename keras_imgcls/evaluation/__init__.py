"""How good a model is, and how sure that is: numbers with intervals, tables per class, plots, the files of a report."""
