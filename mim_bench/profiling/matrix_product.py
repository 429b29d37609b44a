"""The yardstick: a large matrix product, the fastest thing that a device does with numbers."""

import torch

# Sides whose product takes some tenths of a second on two CPU cores, milliseconds on a GPU.
CPU_SIZE = 2048
GPU_SIZE = 8192


class MatrixProduct:
    """A product of two square matrices of random numbers.

    Args:
        device: Of torch.
        dtype: Of the matrices.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        size = GPU_SIZE if device.type == 'cuda' else CPU_SIZE
        generator = torch.Generator(device).manual_seed(0)
        self.left, self.right = (
            torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2)
        )
        self.out = torch.empty_like(self.left)

    @property
    def flops(self) -> int:
        """Operations of one product."""
        return 2 * len(self.left) ** 3

    def __call__(self) -> None:
        """Multiply."""
        torch.matmul(self.left, self.right, out=self.out)
