"""The stages that detect: ``tta-infer``, ``pseudo-label`` and ``predict``."""
