"""A large matrix product, the reference of throughput."""

import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

# Sides whose product takes some tenths of a second on two CPU cores, milliseconds on a GPU.
CPU_SIZE = 2048
GPU_SIZE = 8192


class MatrixProduct:
    """A product of two square matrices of random numbers, by the faster of torch and oneDNN.

    oneDNN is tried for float32 on a CPU; its matrices are in its own layout from the start.

    Args:
        device: Device of torch.
        dtype: Type of the matrices.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        size = GPU_SIZE if device.type == 'cuda' else CPU_SIZE
        generator = torch.Generator(device).manual_seed(0)
        self.left, self.right = (
            torch.randn(size, size, device=device, generator=generator).to(dtype) for _ in range(2)
        )
        self.out = torch.empty_like(self.left)
        self.is_onednn = False
        has_onednn = torch.backends.mkldnn.is_available() and dtype is torch.float32
        if device.type == 'cpu' and has_onednn:
            self.left_onednn, self.right_onednn = (m.to_mkldnn() for m in (self.left, self.right))
            self.is_onednn = self._seconds(self._by_onednn) < self._seconds(self._by_torch)

    @property
    def flops(self) -> int:
        """Operations of one product."""
        return 2 * len(self.left) ** 3

    def __call__(self) -> None:
        """Compute the product once."""
        if self.is_onednn:
            self._by_onednn()
        else:
            self._by_torch()

    def _by_torch(self) -> None:
        torch.matmul(self.left, self.right, out=self.out)

    def _by_onednn(self) -> None:
        # The right matrix is transposed, which makes no difference for random numbers.
        F.linear(self.left_onednn, self.right_onednn)

    @staticmethod
    def _seconds(product: Callable[[], None]) -> float:
        """Shortest time of three products, after one for warm-up."""
        product()
        times = []
        for _ in range(3):
            start = time.perf_counter()
            product()
            times.append(time.perf_counter() - start)
        return min(times)
