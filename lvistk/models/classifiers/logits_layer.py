"""The linear layer that makes logits, of plain products or of cosines."""

from torch import Tensor, nn
from torch.nn import functional as F

from lvistk.models.normalised import normalised


class LogitsLayer(nn.Linear):
    """A linear layer from features to logits, initialised as in Fast R-CNN.

    temperature: factor on the cosine of features and weights, which replaces their product; 0: the
        plain product.
    bias: initial value of all biases.
    """

    def __init__(
        self, in_channels: int, channels: int, *, temperature: float, bias: float = 0.0
    ) -> None:
        super().__init__(in_channels, channels)
        self.temperature = temperature
        nn.init.normal_(self.weight, std=0.01)
        nn.init.constant_(self.bias, bias)

    def forward(self, input: Tensor) -> Tensor:  # torch's own name
        """Logits (N, channels) of features (N, in_channels)."""
        if not self.temperature:
            return super().forward(input)
        cosines = F.linear(normalised(input), normalised(self.weight))
        return self.temperature * cosines + self.bias
