"""What two runs are compared by."""

import csv

import keras

CLOCK = {"seconds", "images_per_second", "data_wait"}


def history(path):
    """The rows of a run's history without what a clock says."""
    with open(path / "history.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name not in CLOCK} for row in csv.DictReader(file)]


def model_weights(path):
    """The weights of the model that a run saved."""
    return keras.models.load_model(path / "model.keras").get_weights()
