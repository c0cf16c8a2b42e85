"""The two training stages: ``train-repr`` and ``finetune``."""
