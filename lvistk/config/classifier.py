"""Settings of the classifier of the box head; each kind has a table of its own."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from lvistk.config.ranges import Ascending, Count, NotNegative, Share


@dataclass(frozen=True)
class EqlSettings:
    """Equalization loss (arXiv 2003.05176), ``kind = "eql"``."""

    tail_images: NotNegative = field(default=109.0, metadata={"was": "tail_photos"})
    """Categories of at most so many training images are tail: .0011 of LVIS v1's, as in the
    configurations of EQL's first author."""
    tail_fraction: Share | None = None
    """Categories in less than this share of the annotated images are tail; replaces ``tail_images``
    when given."""
    negative_clause: bool = False
    """Verified negatives push a tail category down all the same (EQL paper 4.2)."""


@dataclass(frozen=True)
class EqlV2Settings:
    """Equalization loss v2 (arXiv 2012.08548), ``kind = "eql_v2"``."""

    gamma: NotNegative = 12.0
    """Slope of the map from a category's ratio of positive to negative gradients to its weights."""
    mu: NotNegative = 0.8
    """Middle of that map: the ratio at which negative gradients weigh one half."""
    alpha: NotNegative = 4.0
    """How much positive gradients are raised at most, above 1."""


@dataclass(frozen=True)
class SeesawSettings:
    """Seesaw loss (arXiv 2008.10032), ``kind = "seesaw"``."""

    p: NotNegative = 0.8
    """Exponent of mitigation: how much less a frequent category's samples push a rare one down."""
    q: NotNegative = 2.0
    """Exponent of compensation: how much more a category is pushed down that scores too high."""


@dataclass(frozen=True)
class FederatedSettings:
    """Federated loss (CenterNet2), ``kind = "federated"``."""

    categories: Count = 50
    """Categories that a step trains, those that occur in it among them."""
    power: NotNegative = 0.5
    """Exponent of a category's image count, by which it is drawn."""


@dataclass(frozen=True)
class GroupSoftmaxSettings:
    """Balanced group softmax (arXiv 2006.10408), ``kind = "group_softmax"``."""

    edges: Annotated[tuple[Count, ...], Ascending(), Meta(min_length=1)] = (10, 100, 1000)
    """Lower bounds of groups 2, 3, ... in training instances. For a single group take ``softmax``."""
    beta: NotNegative = 8.0
    """Sampled "others" for each positive of a group."""
    unseen: Literal["zero", "member"] = "zero"
    """Categories without a training example: ``zero``, they join no group and are never detected;
    ``member``, members of the rarest group that are never positive."""
    start: Literal["stage_1", "anew"] = "stage_1"
    """What it starts from if ``finetune`` replaces another classifier by it: that one's rows, or random
    weights."""


@dataclass(frozen=True)
class ClassifierSettings:
    """What the box head predicts about categories, and how it is trained."""

    kind: Literal["softmax", "eql", "eql_v2", "seesaw", "federated", "group_softmax"] = "eql"
    """Which classifier; those with settings of their own have them in the table of their name."""
    normed_temperature: NotNegative = 0.0
    """Factor on the cosine of features and weights, which replaces their product (20 in the Seesaw
    paper's models); 0: the plain product."""
    prior_probability: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.001
    """Initial probability of a sigmoid classifier (bias), as in EQL's code."""
    eql: EqlSettings = field(default_factory=EqlSettings, metadata={"was": "eql_*"})
    eql_v2: EqlV2Settings = field(default_factory=EqlV2Settings, metadata={"was": "eql_v2_*"})
    seesaw: SeesawSettings = field(default_factory=SeesawSettings, metadata={"was": "seesaw_*"})
    federated: FederatedSettings = field(
        default_factory=FederatedSettings, metadata={"was": "federated_*"}
    )
    group_softmax: GroupSoftmaxSettings = field(
        default_factory=GroupSoftmaxSettings, metadata={"was": "group_*"}
    )
