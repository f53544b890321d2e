"""Every knob of every verb, one line each: name, type, default, help, what it allows."""

import dataclasses
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from keras_imgcls.core import options, phases
from keras_imgcls.core.errors import UserError, nearest
from keras_imgcls.core.model_arguments import settle_model
from keras_imgcls.core.options import option
from keras_imgcls.core.registry import AUGMENTATIONS, AVERAGES, DATASETS, LOSSES, MIXES, MODELS, OPTIMIZERS, SCHEDULES
from keras_imgcls.core.spec import parse_call, parse_choice, parse_sequence

AUTO = -1  # how the word is kept in a whole number


# fmt: off
@dataclass(frozen=True)
class DataOptions:
    """Data."""

    dataset: str = option("", "digits, cifar10 or tfds:NAME. Empty: the class folders in --data_dir.")
    data_dir: str = option("", "Where the data lies: class folders (with or without train/val/test above them), or an archive of CIFAR-10, or a TFDS folder.")
    image_size: int = option(0, "Height and width that the model sees, pixels. 0: the dataset's own; 160 for photos of many sizes; for class folders with --pretrained or --init_from what those weights were trained with.", low=0, high=4096)
    resize: str = option("squash", "How a photo becomes square: squash the whole (what phones do), centre crop, or pad.", choices=("crop", "pad", "squash"))
    interpolation: str = option("bilinear", "How pixels are resampled in a resize. mediapipe: as ImageClassifier of MediaPipe Tasks does it on phones, bilinear but not antialiased.", choices=("bilinear", "bicubic", "area", "nearest", "mediapipe"))
    channels: int = option(0, "1: grey, 3: RGB. 0: the dataset's own; 3 for files.", choices=(0, 1, 3))
    fraction: float = option(1.0, "The stratified part of the training images that is used.", low=0.0, high=1.0)
    group_by: str = option("", "Regular expression: what it finds in an image's path below the data's folder (its first group in brackets if it has one) names what stays in one split: '(patient\\d+)_'.")
    test_fraction: float = option(0.2, "Share of a dataset without a test split that becomes one. 0: no test split, and none is reported.", low=0.0, high=0.9)
    validation_fraction: float = option(0.1, "Share of the training images (stratified) that validates, where the dataset has no validation split. 0: train on all.", low=0.0, high=0.9)
    folds: int = option(0, "Cross-validation: K runs in RUN/fold_1 …, each judged on another K-th of the images, whole groups, stratified; a test split that is given stays out of all, and none is drawn. 0: none.", low=0, high=100)
    fold: int = option(0, "The one of --folds that is held out. 0: all of them, one after another.", low=0, high=100)
    on_bad_image: str = option("error", "What to do with files that can't be decoded: stop and name them, or exclude, count and name them.", choices=("error", "exclude"))
    cache: str = option("auto", "Where decoded images are kept: auto takes RAM where it is ample, else the disk.", choices=("auto", "none", "ram", "disk"))
    cache_dir: str = option("", "Folder of disk caches. Empty: ~/.cache/keras_imgcls.", stored=False)


@dataclass(frozen=True)
class ModelOptions:
    """Model."""

    model: str = option("resnet20", "A model by name, with arguments if you like: resnet20, resnet20(width=32). See bin/models list.")
    min_confidence: float = option(0.0, "Probability below which predict and the exports call an answer 'unsure'.", low=0.0, high=1.0)
    pretrained: str = option("", "First weights: imagenet (published ones, with their own scaling of pixels), or a .keras or .weights.h5 file. The head is new unless the classes are the same.")
    trust_file: bool = option(False, "Open weights that may run code as they are opened: pickles, .h5 and arrays of objects (.npy, .npz). Refused otherwise; for files whose maker you trust.", stored=False)
    init_from: str = option("", "A run whose model gives the first weights; classes and image size may differ.")
    stem: str = option("auto", "How a network begins: small keeps the sides of the image or halves them once, imagenet divides them by 4; auto: small below 96 pixels.", choices=("auto", "small", "imagenet"))
    dropout: float = option(-1.0, "Share of the features that are dropped in training. -1: the model's own.", low=-1.0, high=0.99)
    stochastic_depth: float = option(-1.0, "Share of the images that skip a residual block in training; it grows from block to block up to this. -1: the model's own.", low=-1.0, high=0.99)
    squeeze_excite: int = option(-1, "Channels that share a hidden unit of squeeze-and-excitation gates (16 in the paper). 0: none. -1: the model's own.", low=-1, high=1024)


@dataclass(frozen=True)
class AugmentOptions:
    """Augmentation."""

    augment: str = option("standard", "none, light, standard, strong (mirror images only where those keep the class), or a sequence such as 'pad_crop(4)|flip|cutout(8)'.")
    mirror_images: str = option("auto", "Whether the presets mirror images. auto: not where that may change the class (digits, letters, signs; classes called by numbers, or left and right).", choices=("auto", "on", "off"))
    augment_on: str = option("auto", "Where augmentation runs; the pixels are the same. auto: on a GPU where there is one.", choices=("auto", "host", "device"))


@dataclass(frozen=True)
class TrainingOptions:
    """Training."""

    tta: str = option("none", "Test-time augmentation, told beside the plain accuracy: none, mirror, mirror_shift, or a sequence as for --augment.")
    tta_views: int = option(8, "How many draws of a --tta sequence are averaged.", low=1, high=1000)
    mix: str = option("none", "Images and labels of two samples in one: none, mixup(0.2), cutmix(1.0), or choice(mixup(0.2), cutmix(1.0)).")
    mix_off_epoch: int = option(0, "Epoch from which nothing is mixed any more, counted from 1. 0: never off.", low=0)

    epochs: int = option(20, "Passes over the training images.", low=1)
    image_size_schedule: str = option("", "Progressive resizing: SIZE@EPOCH, several with bars, such as 64@1|96@9|128@13: from that epoch on training sees images of so many pixels; results and exports are for --image_size.")
    max_minutes: float = option(0.0, "Time budget: as many epochs (at most --epochs) as the measured speed fits in. 0: no budget.", low=0.0)
    batch_size: int = option(0, "Images per step. 0: 8 to 128, so that an epoch has 16 steps or more; auto: the fastest, timed, of those that fit into memory.", low=-1, words={"auto": AUTO})
    optimizer: str = option("sgd", "sgd (Nesterov momentum) or adamw.")
    learning_rate: float = option(0.0, "Peak learning rate. 0: 0.1 for sgd at 128 images a step, in proportion for others; 0.001 for adamw.", low=0.0)
    momentum: float = option(0.9, "Momentum of sgd; beta_1 of adamw.", low=0.0, high=0.9999)
    weight_decay: float = option(5e-4, "Decay of kernels (biases and norms are left alone): L2 in the gradient for sgd, decoupled for adamw.", low=0.0)
    schedule: str = option("warmup_cosine", "Learning rate over the run: constant, warmup_cosine(warmup=0.05), one_cycle(...), step(...).")
    freeze: str = option("none", "Landmark of the model up to which nothing is trained until --unfreeze_epoch: none, stem, stage1, stage2 … or features (all but the head); several for gradual unfreezing: 'features|stage4'.")
    unfreeze_epoch: str = option("0", "Epoch from which that no longer holds, counted from 1; one for each landmark: '11|16'. 0: never. Optimizer and schedule start anew.")
    freeze_norm: bool = option(False, "BatchNorm computes with the statistics that its weights came with, and keeps them, as in inference; its scale and offset train (norm_eval elsewhere). For few images in small steps, from --pretrained or --init_from.")
    feature_views: int = option(1, "While --freeze=features holds: views of each image whose features are computed once and kept, taken in turns by the epochs, unmixed: the image itself, then augmented ones. 0: features are computed anew, augmented, in each epoch.", low=0)
    layer_decay: float = option(1.0, "Learning rate of each stage as a multiple of that of the stage behind it; the head has --learning_rate.", low=0.0, high=1.0)
    norm_bias_multiplier: float = option(1.0, "Learning rate of normalisation biases as a multiple of the others' (64 in the CIFAR-10 speed runs).", low=0.0)
    loss: str = option("cross_entropy", "cross_entropy.")
    auxiliary_weight: float = option(0.0, "Weight of the losses of auxiliary heads, which Inception has in training only (0.3 in GoogLeNet's paper). 0: no such heads.", low=0.0, high=10.0)
    label_smoothing: float = option(0.0, "Share of a label that is spread over all classes.", low=0.0, high=0.99)
    class_weight: str = option("none", "balanced weights each class by the inverse of its frequency.", choices=("none", "balanced"))
    averaging: str = option("none", "Averaged weights for validation and the result: none, ema(0.999), lookahead(...).")
    clip_norm: float = option(0.0, "Largest global norm of the gradients. 0: no clipping.", low=0.0)
    on_nan: str = option("stop", "When the loss is no longer finite: stop, or go back to the last good checkpoint with half the learning rate, up to 3 times.", choices=("stop", "rollback"))
    early_stopping: int = option(0, "Stop after this many epochs without a better --monitor. 0: never.", low=0)
    monitor: str = option("val_accuracy", "The column of history.csv that chooses model.keras.", choices=("val_accuracy", "val_balanced_accuracy", "val_loss", "accuracy", "loss"))
    mixed_precision: str = option("auto", "Precision of training; auto times a few steps of each and keeps the fastest. The saved model is float32.", choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"))
    xla: str = option("auto", "Compile the step with XLA; auto: on a GPU only (on a CPU it is 2-3 times slower).", choices=("auto", "on", "off"))
    steps_per_execution: int = option(0, "Steps per call into TensorFlow. 0: chosen by the size of the step.", low=0)
    seed: int = option(0, "Seed of the split, the order, the weights and the augmentation.", low=0)
    deterministic: bool = option(False, "Bit-equal results in repeated runs; slower.")
    checkpoint_every: str = option("1epoch", "How often the run's state is saved: N (steps), 10m (minutes) or 1epoch.")


@dataclass(frozen=True)
class RunOptions:
    """Run."""

    run_dir: str = option("", "Where results go. Empty: runs/DATASET-MODEL-TIME.", stored=False)
    resume: bool = option(False, "Continue the run in --run_dir from its newest checkpoint.", stored=False)
    ignore_memory: bool = option(False, "Train even where the estimate says that memory will not do.", stored=False)
    resume_anyway: bool = option(False, "Resume although flags, classes or images are others than the run began with; what differs is printed.", stored=False)
    overwrite: bool = option(False, "Replace the run in --run_dir.", stored=False)
    dry_run: bool = option(False, "Build everything, run one step, print parameters, memory and time; write nothing.", stored=False)
    plugin: str = option("", "Python modules (comma-separated) that register models, datasets, augmentations or losses.")
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up messages.", stored=False)


@dataclass(frozen=True)
class TrainConfig(DataOptions, ModelOptions, AugmentOptions, TrainingOptions, RunOptions):
    """Everything that `train` can be told."""

    @property
    def every_fold(self) -> bool:
        """Whether `--folds` asks for all of them."""
        return self.folds > 0 and self.fold == 0


@dataclass(frozen=True)
class SearchOptions:
    """Search."""

    search: str = option("", "What is searched: 'learning_rate=log(0.01, 1); model=choice(resnet20, resnet32)', or FILE.search, one parameter a line.")
    tuner: str = option("asha", "What chooses the trials; all but asha and hyperband stop hopeless ones by the median rule.", choices=("asha", "random", "grid", "bayesian", "hyperband"))
    objective: str = option("accuracy", "Of the validation images: accuracy, balanced_accuracy or log_loss; for a Pareto set with parameters, flops, int8_kb or latency_ms behind it.")
    max_trials: int = option(20, "Trials at most (rungs, for hyperband). 0: as many as the tuner has.", low=0)
    max_epochs: int = option(0, "Epochs of a trial that is trained to the end; all schedules span them. 0: --epochs.", low=0)
    executions_per_trial: int = option(1, "How often a trial is trained, with seeds that follow --seed; their mean is its score.", low=1)
    time_budget: float = option(0.0, "Minutes after which trials pause where they stand; --resume goes on. 0: no budget.", low=0.0)
    max_params: int = option(0, "Parameters of a model at most; larger ones are rejected untrained. 0: no limit.", low=0)
    max_flops: int = option(0, "Multiply-adds of an image at most. 0: no limit.", low=0)
    max_tflite_kb: float = option(0.0, "KiB of the int8 TFLite file at most. 0: no limit.", low=0.0)
    median_stopping: bool = option(True, "Stop hopeless trials (random, grid, bayesian).")
    workers: int = option(1, "Trials at a time on this machine. 0: none, for a chief that only serves others.", low=0, high=64, stored=False)
    worker_memory: float = option(0.0, "MiB from which on a worker process is replaced. 0: half as much again as after its first trial.", low=0.0, stored=False)
    chief: str = option("", "PORT or HOST:PORT where this search serves workers on other machines; localhost unless HOST is given. For trusted networks: nothing is encrypted or asked.", stored=False)
    join: str = option("", "HOST:PORT of a chief to work for; --run_dir is the chief's, on a shared disk.", stored=False)
    refit: bool = option(False, "Train the best flags of a finished search on training and validation images, into RUN/refit.", stored=False)


@dataclass(frozen=True)
class TuneConfig(SearchOptions, *TrainConfig.__bases__):
    """Everything that `tune` can be told: a search, and what all its trials share."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate."""

    run_dir: str = option("", "The run to evaluate.", stored=False)
    trust_file: bool = option(False, "Run code that the run's model.keras holds (Lambda layers and the like), which is refused otherwise; for runs whose maker you trust.", stored=False)
    split: str = option("test", "The split to look at.", choices=("test", "validation", "train"))
    dataset: str = option("", "Another dataset than the run's; its classes are joined by name.")
    data_dir: str = option("", "Another folder than the run's.")
    tta: str = option("", "Test-time augmentation, told beside the plain accuracy: none, mirror, mirror_shift, or a sequence. Empty: as in training.")
    tta_views: int = option(8, "How many draws of a --tta sequence are averaged.", low=1, high=1000)
    name: str = option("", "Folder of the results below RUN/evaluation. Empty: the split, or the folder's name.")
    on_bad_image: str = option("error", "What to do with files that can't be decoded.", choices=("error", "exclude"))
    batch_size: int = option(256, "Images per step.", low=1)
    plugin: str = option("", "Python modules (comma-separated) that register datasets.")
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up messages.", stored=False)


@dataclass(frozen=True)
class PredictConfig:
    """Predict."""

    run_dir: str = option("", "The run whose model predicts.", stored=False)
    exported: str = option("", "In place of a run: a SavedModel folder or a .tflite file that bin/export wrote.", stored=False)
    model: str = option("", "In place of a run: a model by name, with --pretrained: efficientnet_lite0.")
    pretrained: str = option("", "Its weights: imagenet, or a .keras or .weights.h5 file (class names: labels.txt beside it).")
    cache_dir: str = option("", "Folder of converted weights. Empty: ~/.cache/keras_imgcls.", stored=False)
    trust_file: bool = option(False, "Run code that a run's model.keras holds (Lambda layers and the like), and open --pretrained weights that may run code: pickles, .h5, arrays of objects. Refused otherwise; for files whose maker you trust.", stored=False)
    source: str = option("", "An image, a video, a folder (searched through for images), or a glob in quotes; several with commas. -: paths from standard input, one a line or with a NUL behind each.")
    topk: int = option(5, "How many labels per image.", low=1)
    min_confidence: float = option(-1.0, "An image whose best probability is lower gets the one label 'unsure'. -1: as the model was trained or exported.", low=-1.0, high=1.0)
    frame_step: int = option(0, "Every N-th frame of videos and of animated images. 0: a frame a second of videos, the first of animated images.", low=0)
    smoothing: int = option(1, "Probabilities of a frame are the mean over this many frames that were looked at, up to it.", low=1)
    embeddings: str = option("", "A .npy file to write: what the last layer sees of each image, float32, a row for each in the order of the output; NaN where it can't be read.")
    format: str = option("table", "How rows are printed on standard output.", choices=("table", "csv", "json"))
    batch_size: int = option(32, "Images per step.", low=1)
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up messages.", stored=False)


@dataclass(frozen=True)
class ExportConfig:
    """Export."""

    run_dir: str = option("", "The run to export.", stored=False)
    trust_file: bool = option(False, "Run code that the run's model.keras holds (Lambda layers and the like), which is refused otherwise; for runs whose maker you trust.", stored=False)
    formats: str = option("", "What is written, with commas between: saved_model, tflite, tflite_float16, tflite_dynamic, tflite_int8, keras, onnx. Empty: all but onnx.")
    intended_use: str = option("", "What the model is for, in a sentence or two; goes into MODEL_CARD.md.")
    samples: int = option(500, "Largest number of held-out images compared.", low=1)
    min_agreement: float = option(0.99, "Least share of held-out images on which a float export chooses the Keras model's class. An export fails where it is below beyond chance (exact binomial test, 95 %).", low=0.0, high=1.0)
    min_agreement_int8: float = option(0.97, "The same for quantized exports (dynamic range, int8).", low=0.0, high=1.0)
    max_accuracy_drop: float = option(0.01, "Largest loss of accuracy against the Keras model. An export fails where the whole 95 % interval of the loss (paired, same images) is above.", low=0.0, high=1.0)
    int8: str = option("auto", "What is tried where int8 loses more than a point of accuracy on validation images: quantization_aware fine-tuning (always, where it is named), float_layers, nothing (post_training), or both in turn (auto). The best file is kept.", choices=("auto", "post_training", "quantization_aware", "float_layers"))
    int8_epochs: int = option(3, "Epochs of quantization-aware fine-tuning.", low=1)
    web: bool = option(False, "Write RUN/export/web too: a page that runs the model in a browser, for any file server. Needs npm once.")
    web_model: str = option("int8", "The file that the page runs.", choices=("int8", "float"))
    allow_select_ops: bool = option(False, "TFLite files may hold TensorFlow's own operations, which need a bigger runtime; else they are an error. The gate has to run them all the same, which TensorFlow 2.21 for Python can't.")
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up messages.", stored=False)


@dataclass(frozen=True)
class ViewConfig:
    """View."""

    run_dir: str = option("runs", "A run or a folder of runs.", stored=False)
    web: bool = option(False, "Show the run's web page (bin/export --web) in place of TensorBoard.", stored=False)
    port: int = option(6006, "Port on localhost. 0: any free one.", low=0, high=65535)


@dataclass(frozen=True)
class PreviewConfig(DataOptions, AugmentOptions):
    """Preview."""

    output: str = option("preview.png", "The picture to write.")
    images: int = option(64, "Number of images on the sheet.", low=1, high=400)
    augmented: bool = option(False, "Show augmented training images.")
    seed: int = option(0, "Seed of the split, the order and the augmentation.", low=0)
    plugin: str = option("", "Python modules (comma-separated) that register datasets or augmentations.")
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up messages.", stored=False)


@dataclass(frozen=True)
class ModelsConfig:
    """Models."""

    image_size: int = option(32, "Height and width of the images, pixels.", low=1, high=4096)
    channels: int = option(3, "1: grey, 3: RGB.", choices=(1, 3))
    num_classes: int = option(10, "Number of classes.", low=1)
    batch_size: int = option(32, "Images per step of a benchmark.", low=1)
    rounds: int = option(7, "How often each takes its turn in a benchmark.", low=3)
    plugin: str = option("", "Python modules (comma-separated) that register models.")
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up messages.", stored=False)
# fmt: on

IMAGENET = "imagenet"  # of --pretrained
NEED_TRUST = (".h5", ".pkl", ".pickle", ".npy", ".npz")  # `core.trusted_file` reads them
AUGMENT_PRESETS = ("none", "light", "standard", "strong")
TTA_PRESETS = ("none", "mirror", "mirror_shift")


def check(config: TrainConfig | PreviewConfig) -> None:
    """Holds every value of `config` against what its flag allows, names of models and their like included.

    Raises:
        UserError: the first thing that is wrong, with the nearest valid one. Nothing heavy is imported to find out.
    """
    options.check(config)
    if config.dataset and not config.dataset.startswith("tfds:"):
        DATASETS.require(config.dataset)
    if not config.dataset and not config.data_dir:
        raise UserError("No data: name a set (--dataset=digits) or a folder of class folders (--data_dir=photos).")
    if config.augment not in AUGMENT_PRESETS:
        for call in parse_sequence(config.augment):
            AUGMENTATIONS.check(call)
    group_pattern(config.group_by)
    if config.folds == 1 or config.fold > config.folds:
        raise UserError(
            f"--folds is 2 or more, and --fold one of them; received --folds={config.folds} --fold={config.fold}."
        )
    if isinstance(config, TrainConfig):
        _check_training(config)


def check_tta(spec: str) -> None:
    """Raises UserError, with the nearest valid name, where `spec` is no test-time augmentation."""
    if spec not in TTA_PRESETS:
        for call in parse_sequence(spec):
            AUGMENTATIONS.check(call)


def _check_training(config: TrainConfig) -> None:
    check_tta(config.tta)
    for registry, value in (
        (MODELS, config.model), (OPTIMIZERS, config.optimizer), (SCHEDULES, config.schedule), (LOSSES, config.loss),
    ):  # fmt: skip
        registry.check(parse_call(value))
    settle_model(config)
    if config.auxiliary_weight and config.image_size_schedule:
        raise UserError("--auxiliary_weight and --image_size_schedule don't go together: the heads are for one size.")
    if config.auxiliary_weight and (name := parse_call(config.model).name) not in MODELS.declaring("auxiliary"):
        raise UserError(
            f"--auxiliary_weight: {name} has no auxiliary heads; {', '.join(MODELS.declaring('auxiliary'))} have."
        )
    if config.averaging != "none":
        AVERAGES.check(parse_call(config.averaging))
    for call in parse_choice(config.mix) if config.mix != "none" else ():
        MIXES.check(call)
    checkpoint_interval(config.checkpoint_every)
    image_sizes(config.image_size_schedule)
    phases.parse(config.freeze, config.unfreeze_epoch, config.epochs)
    if config.fraction == 0:
        raise UserError("--fraction is above 0; received 0.0.")
    check_pretrained(config.pretrained, config.trust_file)
    if config.freeze_norm and not (config.pretrained or config.init_from):
        raise UserError(
            "--freeze_norm keeps statistics that come with weights: give --pretrained or --init_from, or --nofreeze_norm."
        )
    if config.pretrained and config.init_from:
        raise UserError("--pretrained and --init_from both give first weights: choose one.")
    if config.resume and config.overwrite:
        raise UserError("--resume continues a run and --overwrite replaces it: choose one.")
    if config.deterministic and config.max_minutes:
        raise UserError("--max_minutes follows a clock, so a --deterministic run can't have it: give --epochs.")


def group_pattern(text: str) -> re.Pattern[str]:
    """The regular expression that `--group_by` is.

    Raises:
        UserError: it is none.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(f"--group_by is a regular expression; received '{text}': {error}.") from error


def image_sizes(schedule: str) -> list[tuple[int, int]]:
    """`(first epoch, counted from 0; pixels)` of `--image_size_schedule`, in the order of the epochs.

    Raises:
        UserError: not of the form SIZE@EPOCH|…, or epochs that don't grow.
    """
    sizes = []
    for part in schedule.split("|") if schedule.strip() else ():
        size, _, epoch = (word.strip() for word in part.partition("@"))
        if not (size.isdecimal() and epoch.isdecimal() and int(size) > 0 and int(epoch) > 0):
            raise UserError(f"--image_size_schedule is SIZE@EPOCH, such as 64@1|96@9|128@13; received '{schedule}'.")
        sizes.append((int(epoch) - 1, int(size)))
    if any(later <= earlier for (earlier, _), (later, _) in itertools.pairwise(sizes)):
        raise UserError(f"--image_size_schedule has growing epochs; received '{schedule}'.")
    return sizes


def check_pretrained(pretrained: str, trust_file: bool) -> None:
    """Holds that `--pretrained` may be opened.

    Raises:
        UserError: it's no kind of file that weights come from, or one that needs trust.
    """
    if pretrained in ("", IMAGENET) or pretrained.endswith((".keras", ".weights.h5")):
        return
    if not pretrained.endswith(NEED_TRUST):
        raise UserError(
            f"--pretrained is {IMAGENET} or a .keras or .weights.h5 file; received '{pretrained}'."
            f"{nearest(pretrained, [IMAGENET])}"
        )
    if not trust_file:
        raise UserError(
            f"{pretrained} is not opened: a {Path(pretrained).suffix} file can run code on this machine as it is read. Take a "
            ".keras or .weights.h5 file, or give --trust_file if you trust the one who made it."
        )


def checkpoint_interval(text: str) -> tuple[float, str]:
    """`(number, unit)` of `--checkpoint_every`; the unit is `steps`, `minutes` or `epochs`.

    Raises:
        UserError: no positive number, or another unit.
    """
    for suffix, unit in (("epoch", "epochs"), ("m", "minutes"), ("", "steps")):
        number = text.removesuffix(suffix)
        if text.endswith(suffix) and number.isdecimal() and int(number) > 0:
            return int(number), unit
    raise UserError(f"--checkpoint_every is N (steps), 10m (minutes) or 1epoch; received '{text}'.")


def differences(stored: TrainConfig, given: TrainConfig) -> list[tuple[str, object, object]]:
    """`(name, stored value, given value)` of each flag that is given, part of what a run is, and another than is stored.

    A flag that has its default counts as not given (`--epochs` only where it wasn't), and so does one that was settled
    when the run began: `standard` augmentation became a sequence, a time budget became epochs, a relative folder became
    absolute, `--dropout` an argument of the model.
    """
    settled = {
        "max_minutes",
        *(["epochs", "freeze", "unfreeze_epoch"] if given.max_minutes else []),
        *(["feature_views"] if stored.feature_views < given.feature_views else []),
        *(["augment"] if given.augment in AUGMENT_PRESETS else []),
    }
    epochs_given = options.is_given(given, "epochs")
    if given.model == TrainConfig.model:
        given = replace(given, model=stored.model)
    given = settle_model(given)
    found = []
    for field in dataclasses.fields(given):
        then, now = getattr(stored, field.name), getattr(given, field.name)
        is_path = field.name in ("data_dir", "init_from") or (field.name == "pretrained" and now != IMAGENET)
        if is_path and now:
            now = str(Path(now).expanduser().resolve())
        is_default = now == field.default and not (field.name == "epochs" and epochs_given)
        if field.metadata["stored"] and field.name not in settled and not is_default and now != then:
            found.append((field.name, then, now))
    return found


def replace(config: TrainConfig, **changes: object) -> TrainConfig:
    """`config` with other values in some of its fields."""
    return dataclasses.replace(config, **changes)
