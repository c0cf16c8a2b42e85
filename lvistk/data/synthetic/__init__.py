"""LVIS v1 data drawn by program, so that everything can be tried without a download."""

from lvistk.data.synthetic.settings import GenerateSettings
from lvistk.data.synthetic.write import generate

__all__ = ["GenerateSettings", "generate"]
