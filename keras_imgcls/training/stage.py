"""A stage: what the loop works with during one phase of a run."""

from collections.abc import Callable
from dataclasses import dataclass

from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.phases import Phase
from keras_imgcls.training.feed import Feed
from keras_imgcls.training.learner import Learner


@dataclass(frozen=True)
class Stage:
    """A learner with its optimizer, its batches, and how it is validated, for the epochs of `phase`."""

    phase: Phase
    learner: Learner
    feed: Feed
    options: TrainingOptions
    validate: Callable[[], dict[str, float]]
