"""Differentiation as functions."""

from tinygrad_cv.autograd import functional
from tinygrad_cv.autograd.anomaly import detect_anomaly
from tinygrad_cv.autograd.backward import backward, grad
from tinygrad_cv.autograd.checking import gradcheck, gradgradcheck
from tinygrad_cv.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp
from tinygrad_cv.autograd.hooks import HookHandle
from tinygrad_cv.autograd.memory_plan import MemoryPlan, MemoryStep, plan_memory
from tinygrad_cv.autograd.modes import enable_grad, no_grad, set_grad_enabled
from tinygrad_cv.autograd.recompute import checkpoint, checkpoint_sequential
from tinygrad_cv.core.mode import is_grad_enabled
from tinygrad_cv.errors import GradcheckError

__all__ = ["GradcheckError", "HookHandle", "MemoryPlan", "MemoryStep", "backward", "checkpoint"]
__all__ += ["checkpoint_sequential", "detect_anomaly", "enable_grad", "functional", "grad"]
__all__ += ["gradcheck", "gradgradcheck", "hessian", "hvp", "is_grad_enabled", "jacobian", "jvp"]
__all__ += ["no_grad", "plan_memory", "set_grad_enabled", "vhp", "vjp"]
