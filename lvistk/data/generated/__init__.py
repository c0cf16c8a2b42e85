"""LVIS v1 data drawn by program, so that everything can be tried without a download."""

from lvistk.data.generated.settings import GenerateSettings
from lvistk.data.generated.write import generate

__all__ = ["GenerateSettings", "generate"]
