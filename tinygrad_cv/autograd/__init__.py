"""Differentiation as functions."""

from tinygrad_cv.autograd import function, functional, graph
from tinygrad_cv.autograd.anomaly import detect_anomaly
from tinygrad_cv.autograd.backward import backward, grad
from tinygrad_cv.autograd.checking import gradcheck, gradgradcheck
from tinygrad_cv.autograd.cuts import why_no_grad
from tinygrad_cv.autograd.function import Function
from tinygrad_cv.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp
from tinygrad_cv.autograd.hooks import HookHandle
from tinygrad_cv.autograd.memory_plan import MemoryPlan, plan_memory
from tinygrad_cv.autograd.meta_run import MemoryStep
from tinygrad_cv.autograd.modes import enable_grad, no_grad, set_grad_enabled
from tinygrad_cv.autograd.recompute import checkpoint, checkpoint_sequential
from tinygrad_cv.autograd.retain import retain_all
from tinygrad_cv.autograd.verification import Finding, Report, verify
from tinygrad_cv.core.mode import is_grad_enabled
from tinygrad_cv.errors import GradcheckError

__all__ = [
    "Finding",
    "Function",
    "GradcheckError",
    "HookHandle",
    "MemoryPlan",
    "MemoryStep",
    "Report",
]
__all__ += ["backward", "checkpoint", "checkpoint_sequential", "detect_anomaly", "enable_grad"]
__all__ += [
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "hessian",
    "hvp",
]
__all__ += ["is_grad_enabled", "jacobian", "jvp", "no_grad", "plan_memory", "retain_all"]
__all__ += ["set_grad_enabled", "verify", "vhp", "vjp", "why_no_grad"]
