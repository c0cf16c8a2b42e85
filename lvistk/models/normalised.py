"""Vectors of length one, as the Seesaw paper's cosine classifiers take them."""

from torch import Tensor


def normalised(vectors: Tensor, *, dim: int = 1) -> Tensor:
    """``vectors`` over their length along ``dim``; zero stays zero.

    The length is raised by 1e-6 as in mmdetection, whose weights then give its very numbers.
    """
    return vectors / (vectors.norm(dim=dim, keepdim=True) + 1e-6)
