"""Differentiation as functions."""

from tinygrad_cv.autograd import graph
from tinygrad_cv.autograd.anomaly import detect_anomaly
from tinygrad_cv.autograd.backward import backward, grad
from tinygrad_cv.autograd.cuts import why_no_grad
from tinygrad_cv.autograd.hooks import HookHandle
from tinygrad_cv.autograd.modes import enable_grad, no_grad, set_grad_enabled
from tinygrad_cv.autograd.retain import retain_all
from tinygrad_cv.autograd.verification import Finding, Report, verify
from tinygrad_cv.core.mode import is_grad_enabled

__all__ = ["HookHandle", "backward", "detect_anomaly", "enable_grad", "grad", "is_grad_enabled"]
__all__ += ["no_grad", "set_grad_enabled"]
__all__ += ["Finding", "Report", "graph", "retain_all", "verify"]
__all__ += ["why_no_grad"]
