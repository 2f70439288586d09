"""CUDA graphs: all that a step launches on a GPU, repeated with one launch.

Launching the kernels of a small GAN's step one by one takes Python several times as long as running them takes the GPU.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan.config.errors import ConfigError, first_line

Function = Callable[..., dict[str, Tensor]]
WARM_UP = 3  # calls before a capture, in which libraries choose their kernels and optimizers create their state
MAX_GRAPHS = 4  # each keeps the memory of a step


class Captured(NamedTuple):
    """A captured call: the tensors that it reads, a function that repeats it, and the results that this writes."""

    inputs: Sequence[Tensor]
    replay: Callable[[], None]
    results: dict[str, Tensor]


class CudaGraphs:
    """Calls a function of tensors: at first as it is, then as a CUDA graph, one for each `key`.

    A graph repeats the same kernels on the same memory. So `key` must hold all else that the function reads from Python
    and that may change, and what the function keeps between calls it must change in place. Random numbers depend on the
    seeds of the generators as they do without a graph. Results are overwritten by later calls.
    """

    def __init__(self) -> None:
        self.generators: list[torch.Generator] = []  # that functions draw from, besides the default generator
        self.calls: dict[Hashable, int] = {}
        self.captured: dict[Hashable, Captured] = {}
        self.stream = torch.cuda.Stream()  # captures are not possible on the default stream
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, function: Function, key: Hashable, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """What `function(*inputs)` returns. Raises ConfigError if it cannot be captured."""
        if key not in self.captured:
            self.calls[key] = self.calls.get(key, 0) + 1
            if self.calls[key] <= WARM_UP:
                return self.warm_up(function, inputs)
            if len(self.captured) == MAX_GRAPHS:
                del self.captured[next(iter(self.captured))]  # the oldest
            self.captured[key] = self.capture(function, inputs)
        call = self.captured[key]
        for fixed, tensor in zip(call.inputs, inputs, strict=True):
            fixed.copy_(tensor)
        call.replay()
        return call.results

    def warm_up(self, function: Function, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """What `function(*inputs)` returns, computed on the stream of later captures."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            results = function(*inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        return results

    def capture(self, function: Function, inputs: Sequence[Tensor]) -> Captured:
        """Record what `function` launches, without running it."""
        inputs, graph = [tensor.clone() for tensor in inputs], torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(graph, self.pool, self.stream):
                results = function(*inputs)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:  # that of ending the capture, after the first one
            reason = first_line(error.__context__ if isinstance(error.__context__, Exception) else error)
            raise ConfigError(f"cuda_graphs: a step cannot be captured ({reason}); set cuda_graphs=false.") from error
        return Captured(inputs, graph.replay, results)
