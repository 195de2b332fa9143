"""Small linear layers with one SparseGrad adapter, for tests of the PEFT tuner."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsegrad_client.basis import GroupBasis
from sparsegrad_client.integrations.peft import SparseGradPeftLayer

from .sparse_models import basis_of, group_basis

D_OUT, D_IN = 9, 8


def up_group(dtype: torch.dtype = torch.float32) -> GroupBasis:
    return group_basis("up", ("up",), D_OUT, D_IN, dtype=dtype)


def linear(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(D_IN, D_OUT, dtype=dtype).requires_grad_(False)


def adapted(base: nn.Module, group: GroupBasis, indices: Tensor) -> SparseGradPeftLayer:
    layer = SparseGradPeftLayer(base, "up")
    layer.add_adapter("default", basis_of(group), indices)
    return layer


def identity_basis(size: int, dtype: torch.dtype) -> GroupBasis:
    eye = torch.eye(size, dtype=dtype)
    spectrum = torch.ones(size, dtype=torch.float64)
    return GroupBasis("up", ("up",), eye, eye, spectrum, spectrum)


class Pass(nn.Module):
    """Takes `size` numbers and gives as many zeros; has no weight."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.in_features = self.out_features = size

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)
