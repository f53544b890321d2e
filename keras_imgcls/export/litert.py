"""LiteRT in this process: what a TFLite file says, while choices are made. The result is measured in a fresh one."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def probabilities(model: bytes, images: np.ndarray) -> np.ndarray:
    """What a TFLite file says, run by LiteRT in this process: float32 of shape (n, k)."""
    interpreter = Interpreter(model_content=model, num_threads=2)
    interpreter.allocate_tensors()
    (image_details,), (details,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = details["quantization"]
    answers = []
    for image in images:
        interpreter.set_tensor(image_details["index"], image[None].astype(image_details["dtype"]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(details["index"])[0].astype(np.float32))
    return (np.stack(answers) - zero_point) * (scale or 1.0)
