"""What two runs are compared by, and processes that obey permissions."""

import csv
import ctypes
import os

import keras

CLOCK = {"seconds", "images_per_second", "data_wait"}
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # of linux/prctl.h and linux/capability.h


def history(path):
    """The rows of a run's history without what a clock says."""
    with open(path / "history.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name not in CLOCK} for row in csv.DictReader(file)]


def model_weights(path):
    """The weights of the model that a run saved."""
    return keras.models.load_model(path / "model.keras").get_weights()


def obey_permissions():
    """Takes from this process, which is about to become another program, root's right to write whatever permissions say."""
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
        raise OSError("root may not give up its rights here")
