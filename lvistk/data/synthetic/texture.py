"""Surfaces: the textures of objects, and the backgrounds with things that belong to no category.

Colours are RGB in float32, 0 to 255.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

Array = np.ndarray


def colour(hue: float, saturation: float, value: float) -> Array:
    """RGB `(3,)` of a hue (in turns), saturation and value (in [0, 1])."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), dtype=np.float32) * 255


def smooth_noise(height: int, width: int, *, cells: int, rng: np.random.Generator) -> Array:
    """Blotches of about 1 / `cells` of the longer side, `(H, W)` of mean 0 and deviation 1."""
    coarse = rng.standard_normal((cells + 2, cells + 2)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def pattern(name: str, height: int, width: int, *, rng: np.random.Generator) -> Array:
    """How much of the second colour each pixel takes, `(H, W)` in [0, 1]."""
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    along = xs * np.float32(np.cos(angle)) + ys * np.float32(np.sin(angle))
    across = ys * np.float32(np.cos(angle)) - xs * np.float32(np.sin(angle))
    period = max(4.0, max(height, width) * rng.uniform(0.14, 0.3))
    wave, cross_wave = np.sin(along * (2 * np.pi / period)), np.sin(across * (2 * np.pi / period))
    match name:
        case "striped":
            return np.clip(0.5 + 2 * wave, 0, 1)
        case "checked":
            return np.clip(0.5 + 3 * wave * cross_wave, 0, 1)
        case "dotted":
            return np.clip(4 * (wave + cross_wave) - 4, 0, 1)
        case "mottled":
            return np.clip(
                0.5 + 0.5 * smooth_noise(height, width, cells=int(rng.integers(4, 9)), rng=rng),
                0,
                1,
            )
        case "shaded":
            low, high = float(along.min()), float(along.max())
            return (along - low) / max(high - low, 1.0)
        case _:
            return np.zeros((height, width), dtype=np.float32)


def surface(name: str, size: tuple[int, int], *, base: Array, rng: np.random.Generator) -> Array:
    """A textured patch `(H, W, 3)` of a base colour and a lighter or darker second one."""
    second = base * rng.uniform(0.25, 0.6) if base.mean() > 110 else 255 - (255 - base) * 0.45
    mix = pattern(name, *size, rng=rng)[..., None]
    return base * (1 - mix) + second.astype(np.float32) * mix


def _amoeba(rng: np.random.Generator, size: float) -> Array:
    """An irregular smooth outline `(N, 2)` that none of the families draws."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = np.ones(40)
    for lobes, height in ((2, 0.3), (3, 0.25), (5, 0.15)):
        radius += height * rng.uniform(0.3, 1) * np.cos(lobes * angle + rng.uniform(0, 6.3))
    return size * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _shifted(points: Array) -> Array:
    """Points in OpenCV's fixed-point form with 4 fractional bits, for subpixel drawing."""
    return np.rint(points * 16).astype(np.int32)[None]


def background(height: int, width: int, *, rng: np.random.Generator) -> Array:
    """A dull gradient with blotches, amoebas and scribbles, `(H, W, 3)` uint8."""
    ends = [colour(rng.random(), rng.uniform(0, 0.45), rng.uniform(0.2, 0.95)) for _ in range(2)]
    mix = pattern("shaded", height, width, rng=rng)[..., None]
    field = ends[0] * (1 - mix) + ends[1] * mix
    blotches = smooth_noise(height, width, cells=int(rng.integers(3, 12)), rng=rng)
    field += (rng.uniform(4, 16) * blotches)[..., None]
    image = np.clip(field, 0, 255).astype(np.uint8)
    side = min(height, width)
    for _ in range(int(rng.integers(2, 7))):
        points = _amoeba(rng, side * rng.uniform(0.04, 0.3)) + rng.random(2) * (width, height)
        tint = colour(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.15, 0.95))
        cv2.fillPoly(image, [_shifted(points)[0]], tint.tolist(), cv2.LINE_AA, 4)
    for _ in range(int(rng.integers(2, 8))):
        _scribble(image, rng)
    return image


def _scribble(image: Array, rng: np.random.Generator) -> None:
    """Draw a broken thin line of a random colour into `image`."""
    height, width = image.shape[:2]
    start = rng.random(2) * (width, height)
    steps = rng.normal(0, 0.12 * min(height, width), (int(rng.integers(2, 6)), 2))
    points = np.concatenate([[start], start + np.cumsum(steps, axis=0)])
    tint = colour(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.1, 0.95))
    thickness = max(1, round(min(height, width) * rng.uniform(0.004, 0.014)))
    cv2.polylines(image, [_shifted(points)[0]], False, tint.tolist(), thickness, cv2.LINE_AA, 4)


def camera(image: Array, *, rng: np.random.Generator) -> Array:
    """Brightness, contrast, a little blur and sensor noise: `(H, W, 3)` float to uint8."""
    image = (image - 128) * rng.uniform(0.8, 1.15) + 128 + rng.uniform(-18, 18)
    sigma = rng.uniform(0, 0.8)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    grain = rng.standard_normal(image.shape[:2], dtype=np.float32) * rng.uniform(1, 6)
    return np.clip(image + grain[..., None] + 0.5, 0, 255).astype(np.uint8)
