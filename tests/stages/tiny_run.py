"""A pipeline file of both training stages, so small that a step takes a tenth of a second."""

from pathlib import Path

from lvistk.stages.pipelines.pipeline_file import Pipeline, load_pipeline
from tests.data.small_data import small_index

PIPELINE = """
name = "tiny"
out = "{root}/runs"
[data]
train = ["{root}/train.json"]
train_images = "{root}"
val = "{root}/train.json"
val_images = "{root}"
[model]
canonical_size = 12.0
[model.backbone]
name = "resnet18"
width = 0.125
norm = "gn"
frozen_stages = 0
[model.fpn]
channels = 16
[model.rpn]
anchor_sizes = [10, 20, 40, 80, 160]
pre_nms_train = 60
post_nms_train = 30
batch_per_image = 16
[model.classifier]
eql.tail_images = 6
[model.box]
fc_channels = 16
batch_per_image = 16
class_agnostic = true
[model.mask]
channels = 16
convs = 1
[augment]
short_edges = [64]
long_edge = 96
[sampler]
repeat_images = 4
[loader]
workers = 0
[optim]
lr = 0.02
lr_batch = 0
clip_norm = 10.0
warmup_steps = 3
schedule = "cosine"
[loop]
epochs = 3
batch_size = 4
log_steps = 1
checkpoint_steps = 2
[stage.first]
command = "train-repr"
[stage.second]
command = "finetune"
inputs = {{ model = "first" }}
[stage.second.model.classifier]
group_softmax.edges = [5, 8]
"""


def tiny_pipeline(root: Path, *assignments: str, images: int = 12) -> Pipeline:
    """The pipeline below ``root``, with images and annotations drawn there if need be."""
    if not (root / "train.json").is_file():
        root.mkdir(parents=True, exist_ok=True)
        small_index(root, count=images)
    file = root / "tiny.toml"
    file.write_text(PIPELINE.format(root=root))
    return load_pipeline(file, assignments=assignments)
