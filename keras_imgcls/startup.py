"""TensorFlow's and TensorBoard's start, without their noise."""

import os

from keras_imgcls.core.console import quiet


def tensorflow(show_log: bool = False) -> None:
    """Imports TensorFlow and Keras and finds the devices; what they print meanwhile is shown if it fails, or for `show_log`."""
    if not show_log:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet(show_log):
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_logical_devices()


def tensorboard() -> None:
    """TensorBoard, told by the arguments of this process; it imports TensorFlow, whose noise is hidden."""
    tensorflow()
    from tensorboard.main import run_main

    run_main()
