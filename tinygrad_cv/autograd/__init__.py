"""Differentiation as functions."""

from tinygrad_cv.autograd.anomaly import detect_anomaly
from tinygrad_cv.autograd.backward import backward, grad
from tinygrad_cv.autograd.hooks import HookHandle
from tinygrad_cv.autograd.memory_plan import MemoryPlan, plan_memory
from tinygrad_cv.autograd.meta_run import MemoryStep
from tinygrad_cv.autograd.modes import enable_grad, no_grad, set_grad_enabled
from tinygrad_cv.autograd.recompute import checkpoint, checkpoint_sequential
from tinygrad_cv.core.mode import is_grad_enabled

__all__ = ["HookHandle", "backward", "detect_anomaly", "enable_grad", "grad", "is_grad_enabled"]
__all__ += ["MemoryPlan", "MemoryStep", "checkpoint", "checkpoint_sequential", "no_grad"]
__all__ += ["plan_memory", "set_grad_enabled"]
