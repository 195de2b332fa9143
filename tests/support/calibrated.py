"""A small model to calibrate and train, and what its calibration gave."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import BertConfig, BertForSequenceClassification

from sparsegrad_client import Basis
from sparsegrad_shared.bases import BasisVersion
from sparsegrad_shared.report import BasisReport

from . import tiny_models


@dataclass(frozen=True)
class Calibrated:
    """A basis, the version that was published, and its report."""

    basis: Basis
    version: BasisVersion
    report: BasisReport


def pictured_model() -> BertForSequenceClassification:
    """A BERT of two blocks, each with more rows and columns than a picture has bins."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tiny_models.VOCABULARY,
        hidden_size=80,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=160,
        max_position_embeddings=32,
    )
    return BertForSequenceClassification(config)
