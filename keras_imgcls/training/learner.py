"""The learner: a training view, its loss, and the one `train_step` that every run goes through."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_imgcls.core.config import TrainingOptions
from keras_imgcls.core.registry import AVERAGES, LOSSES, OPTIMIZERS, SCHEDULES
from keras_imgcls.core.spec import parse_call
from keras_imgcls.training.averaging import Average
from keras_imgcls.training.freezing import learning_rates
from keras_imgcls.training.losses import smooth
from keras_imgcls.training.optimizers import decays, multiply_learning_rates
from keras_imgcls.training.schedules import Scaled


class Learner(keras.Model):
    """A compiled Keras model around the training view of a classifier.

    A batch is `((images, labels, ids), wait)`: pixels 0-255 of shape (batch, height, width, channels), float labels of
    shape (batch, classes), int64 ids of shape (batch,), and the seconds that were spent waiting for it.
    """

    def __init__(
        self,
        view: keras.Model,
        options: TrainingOptions,
        total_steps: int,
        class_weights: tf.Tensor | None = None,
        augment: Callable | None = None,
        frozen: Sequence[keras.Variable] = (),
        model: keras.Model | None = None,
    ) -> None:
        """Wraps and compiles `view`.

        Args:
            view: maps pixels to logits, and to auxiliary ones behind them; see `acceleration.accelerate`.
            options: the knobs of training, resolved (no `auto` among them).
            total_steps: the number of steps that the learning rate's schedule spans.
            class_weights: float32 of shape (classes,), or None.
            augment: `(images, labels, ids, epoch) -> (images, labels)`, run in the step; None where the pipeline did it.
            frozen: variables of `view` that stay as they are: not trained, decayed or averaged.
            model: the plain model, where `view` is a view of a part of it: a checkpoint holds the whole.
        """
        super().__init__(name="learner")
        still = {id(variable) for variable in frozen}
        self.trained = [variable for variable in view.trainable_variables if id(variable) not in still]
        self.model = model or view
        self.view, self._options, self._augment, self._class_weights = view, options, augment, class_weights
        self._total_steps = total_steps
        self._loss_of_samples = LOSSES.get(options.loss)
        self.epoch = self.add_weight(shape=(), dtype="int64", initializer="zeros", trainable=False, name="epoch")
        self.rate_factor = self.add_weight(shape=(), initializer="ones", trainable=False, name="rate_factor")
        # Variables, so that a step is traced once for all their values.
        self.learning_rate = self.add_weight(shape=(), initializer="zeros", trainable=False, name="learning_rate")
        self.weight_decay = self.add_weight(shape=(), initializer="zeros", trainable=False, name="weight_decay")
        self._set_rates(options)
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.accuracy_mean = keras.metrics.Mean(name="accuracy")
        self.wait_sum = keras.metrics.Sum(name="data_wait")
        self.average = _average(options)
        self.built = True
        self.compile(
            optimizer=self._optimizer(view),
            jit_compile=options.xla == "on",
            steps_per_execution=options.steps_per_execution,
        )
        self.optimizer.build(self.trained)
        if self.average:
            self.average.build([variable for variable in view.weights if id(variable) not in still])
        self._first = [keras.ops.convert_to_numpy(variable) for variable in self._own_state]
        self.begin(options)

    def begin(self, options: TrainingOptions) -> None:
        """Makes ready for the first step, from the weights as they are; a step that was traced stays so.

        Args:
            options: those of the construction, but for learning rate and weight decay, which stays 0 or stays more.
        """
        self._set_rates(options)
        for variable, value in zip(self._own_state, self._first, strict=True):
            variable.assign(value)
        if self.average:
            self.average.begin()

    def _set_rates(self, options: TrainingOptions) -> None:
        self.learning_rate.assign(options.learning_rate)
        self.weight_decay.assign(options.weight_decay)
        self.rate_factor.assign(1.0)

    @property
    def metrics(self) -> list[keras.Metric]:
        """What is reset at the start of an epoch."""
        return [self.loss_mean, self.accuracy_mean, self.wait_sum]

    @property
    def state(self) -> list[keras.Variable]:
        """Everything that a checkpoint holds, in a fixed order: the weights, seeds, metrics, optimizer and average."""
        return [*self.model.variables, *self._own_state, *(self.average.shadow if self.average else [])]

    @property
    def _own_state(self) -> list[keras.Variable]:
        metrics = [variable for metric in self.metrics for variable in metric.variables]
        return [self.epoch, *metrics, *self.optimizer.variables]

    def _optimizer(self, view: keras.Model) -> keras.optimizers.Optimizer:
        options, call = self._options, parse_call(self._options.schedule)
        schedule = SCHEDULES.get(call.name)(self.learning_rate, self._total_steps, *call.args, **call.kwargs)
        optimizer = OPTIMIZERS.get(options.optimizer)(Scaled(schedule, self.rate_factor), options)
        if OPTIMIZERS.traits(options.optimizer)["decay"] == "decoupled":
            optimizer.weight_decay = self.weight_decay.value
            optimizer.exclude_from_weight_decay([variable for variable in self.trained if not decays(variable)])
        multiply_learning_rates(optimizer, learning_rates(view, options.layer_decay, options.norm_bias_multiplier))
        if options.mixed_precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        return optimizer

    def call(self, images, training=False):
        """The logits of `images`."""
        return self._all_logits(images, training)[0]

    def _all_logits(self, images, training):
        return [tf.cast(logits, tf.float32) for logits in tf.nest.flatten(self.view(images, training=training))]

    def train_step(self, data):
        """One step; returns running means of the epoch."""
        (images, labels, ids), wait = data
        if self._augment is not None:
            images, labels = self._augment(images, labels, ids, self.epoch.value)
        images = tf.cast(images, tf.float32)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self.trained])
            logits, *auxiliary = self._all_logits(images, training=True)
            loss = self._mean_loss(labels, logits)
            halfway = sum(self._mean_loss(labels, others) for others in auxiliary)
            total = loss + self._options.auxiliary_weight * halfway + self._l2()
            scaled = self.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, [variable.value for variable in self.trained])
        self.optimizer.apply(gradients, self.trained)
        if self.average:
            step = self.optimizer.iterations.value
            self.average.update(step, tf.cast(step, tf.float32) / float(self._total_steps))
        return self._update_metrics(labels, logits, loss, wait)

    def _mean_loss(self, labels, logits):
        losses = self._loss_of_samples(smooth(labels, self._options.label_smoothing), logits)
        if self._class_weights is None:
            return tf.reduce_mean(losses)
        weights = tf.linalg.matvec(labels, self._class_weights)
        return tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)

    def _l2(self):
        if not self._options.weight_decay or OPTIMIZERS.traits(self._options.optimizer)["decay"] != "l2":
            return 0.0
        kernels = [variable.value for variable in self.trained if decays(variable)]
        return self.weight_decay.value * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])

    def _update_metrics(self, labels, logits, loss, wait):
        right = tf.cast(tf.equal(tf.argmax(labels, axis=-1), tf.argmax(logits, axis=-1)), tf.float32)
        self.loss_mean.update_state(loss, sample_weight=tf.shape(logits)[0])
        self.accuracy_mean.update_state(right)
        self.wait_sum.update_state(wait)
        return {metric.name: metric.result() for metric in self.metrics}


def _average(options: TrainingOptions) -> Average | None:
    if options.averaging == "none":
        return None
    call = parse_call(options.averaging)
    return AVERAGES.get(call.name)(*call.args, **call.kwargs)
