"""The model card: what the Hugging Face Hub, and a reader, should know of a trained classifier.

Everything in it comes from the record of the run. What the run did not measure is not there.
"""

import json
from typing import NamedTuple

PAPER = "2201.10801"
# What the Hub calls the data sets that are there. Digits and people's own folders are not.
HUB_DATASETS = {"cifar10": ("CIFAR-10", "uoft-cs/cifar10")}
_SPLITS = {"test": "test", "val": "validation"}
_METRICS = {
    "top1": ("accuracy", "top-1 accuracy"),
    "top5": ("top_5_accuracy", "top-5 accuracy"),
}
_SETTINGS = (
    *("recipe", "optimizer", "augmentation", "mixup_alpha", "cutmix_alpha", "batch_size"),
    *("lr_max", "warmup_fraction", "weight_decay", "label_smoothing", "ema_momentum", "network"),
    *("limit_train", "precision"),
)


class TrainedModel(NamedTuple):
    """What a card tells of.

    Attributes:
        title: a name for people.
        repo_id: `user/name` on the Hub.
        license: of the weights, as the Hub spells it.
        class_names: one for each logit.
        image_shape: `(height, width, 3)` of the pictures that the model takes.
        parameters: int, numbers in the network.
        config: of the run, as in `config.json`.
        metrics: of the run, as in `metrics.json`.
    """

    title: str
    repo_id: str
    license: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    parameters: int
    config: dict
    metrics: dict


def model_card(model):
    """The text of `README.md` on the Hub.

    Args:
        model: `TrainedModel`.

    Returns:
        str: YAML between two lines of dashes, then Markdown.
    """
    front = "\n".join(_yaml(front_matter(model)))
    return f"---\n{front}\n---\n\n{_text(model)}"


def front_matter(model):
    """The part of a card that the Hub reads.

    Args:
        model: `TrainedModel`.

    Returns:
        dict that JSON can hold. Without scores on test images there is no `model-index`.
    """
    name, hub_id = _dataset(model)
    front = {
        "license": model.license,
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["keras", "shiftvit", "vision", "image-classification", f"arxiv:{PAPER}"],
    }
    if hub_id:
        front["datasets"] = [hub_id]
    front["metrics"] = ["accuracy"]
    scores = [
        {"type": kind, "name": label, "value": model.metrics[f"test_{key}"]}
        for key, (kind, label) in _METRICS.items()
        if f"test_{key}" in model.metrics
    ]
    if scores:
        front["model-index"] = [
            {
                "name": model.title,
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image classification"},
                        "dataset": {"type": hub_id or name, "name": name, "split": "test"},
                        "metrics": scores,
                    }
                ],
            }
        ]
    return front


def _yaml(value):
    """The lines of a value as YAML; a text or number is written as JSON, which is YAML, too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, (dict, list)):
                yield f"{key}:"
                yield from (f"  {line}" for line in _yaml(inner))
            else:
                yield f"{key}: {json.dumps(inner, ensure_ascii=False)}"
    elif isinstance(value, list):
        for item in value:
            first, *others = _yaml(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield json.dumps(value, ensure_ascii=False)


def _dataset(model):
    """A name for people, and the Hub's id or None."""
    dataset = str(model.config["dataset"])
    if dataset not in HUB_DATASETS:
        return dataset.replace("\\", "/").rstrip("/").split("/")[-1], None
    name, hub_id = HUB_DATASETS[dataset]
    # Image files may have been compressed: a score on them is none on the Hub's data set.
    if "(image folder)" in model.metrics["data_source"]:
        return f"a copy of {name} in image files", None
    return name, hub_id


def _text(model):
    height, width, _ = model.image_shape
    name, _ = _dataset(model)
    return f"""# {model.title}

A [ShiftViT](https://arxiv.org/abs/{PAPER}) of {model.parameters:,} parameters: a vision transformer
whose attention is replaced by a shift of a few groups of channels by one pixel. Trained on {name}
with `shiftvit_utils`, a Keras 3 library that runs on TensorFlow, JAX and PyTorch.

| | |
|---|---|
| in | pictures `(N, {height}, {width}, 3)`, values 0..255; scaling is part of the model |
| out | logits `(N, {len(model.class_names)})` |
| classes | {", ".join(model.class_names)} |

## Use

With `shiftvit_utils` installed, from its repository:

```python
import json

import keras
import shiftvit_utils  # its layers, which Keras has to know
from huggingface_hub import hf_hub_download

model = keras.saving.load_model("hf://{model.repo_id}")
names = hf_hub_download("{model.repo_id}", "shiftvit_utils.json")
with open(names, encoding="utf-8") as file:
    class_names = json.load(file)["class_names"]

logits = model.predict(images)  # uint8 (N, {height}, {width}, 3)
print([class_names[k] for k in logits.argmax(axis=-1)])
```

## Results

{_results(model)}

## Training

{_training(model)}

## Limits

The model knows {len(model.class_names)} classes and answers with one of them whatever it is shown.
{_seen(model)}; on pictures of another kind expect less than
the numbers above. Its confidences are not calibrated. It is made for teaching, not for decisions
about people.

## Reference

Guangting Wang, Yucheng Zhao, Chuanxin Tang, Chong Luo, Wenjun Zeng:
*When Shift Operation Meets Vision Transformer: An Extremely Simple Alternative to Attention
Mechanism*, AAAI 2022, [arXiv {PAPER}](https://arxiv.org/abs/{PAPER}).
"""


def _start(config):
    """The weights that a run began with, for people; None for random ones."""
    weights = config.get("initial_weights")
    if weights is None:
        return None
    if weights == "cifar10":
        return "the weights `cifar10` of shiftvit_utils"
    name = str(weights).replace("\\", "/").rstrip("/").split("/")[-1]
    return f"the weights in `{name}`"


def _seen(model):
    name, _ = _dataset(model)
    start = _start(model.config)
    if start is None:
        return f"It has seen nothing but the training images of {name}"
    return (
        f"It has seen the training images of {name}, and before them what {start} were trained on"
    )


def _results(model):
    metrics = model.metrics
    rows = [
        f"| {split} | {metrics[f'{key}_top1']:.2%} | {metrics[f'{key}_top5']:.2%} "
        f"| {metrics[f'{key}_loss']:.3f} |"
        for key, split in _SPLITS.items()
        if f"{key}_top1" in metrics
    ]
    if not rows:
        return "This run recorded none."
    lines = ["| images | top-1 | top-5 | loss |", "|---|---|---|---|", *rows, ""]
    lines.append(f"Measured on: {metrics['data_source']}.")
    if "val_top1" in metrics:
        lines.append(
            "The weights kept are those of the last epoch."
            if model.config.get("keep_weights") == "last"
            else "Which epoch to keep was chosen on the validation images."
        )
    if "test_top1" not in metrics:
        lines.append("This run did not look at the test images.")
    return "\n".join(lines)


def _training(model):
    config, metrics = model.config, model.metrics
    minutes = metrics["train_seconds"] / 60
    # Of an older version: a run that named no optimizer had AdamW, whatever its recipe is now.
    known = {**config, "optimizer": config.get("optimizer") or "adamw"}
    settings = ", ".join(f"{key} {known[key]}" for key in _SETTINGS if known.get(key) is not None)
    start = _start(config) or "random weights"
    versions = ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
    return (
        f"Preset `{config['preset']}`, {metrics['epochs']} epochs from {start}, seed "
        f"{metrics['seed']}; {settings}.\n"
        f"{minutes:.0f} minutes on {metrics['device']}; {versions}."
    )
