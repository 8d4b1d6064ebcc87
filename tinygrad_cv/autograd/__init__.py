"""Differentiation as functions."""

from tinygrad_cv.autograd import functional
from tinygrad_cv.autograd.anomaly import detect_anomaly
from tinygrad_cv.autograd.backward import backward, grad
from tinygrad_cv.autograd.checking import gradcheck, gradgradcheck
from tinygrad_cv.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp
from tinygrad_cv.autograd.hooks import HookHandle
from tinygrad_cv.autograd.modes import enable_grad, no_grad, set_grad_enabled
from tinygrad_cv.core.mode import is_grad_enabled
from tinygrad_cv.errors import GradcheckError

__all__ = ["GradcheckError", "HookHandle", "backward", "detect_anomaly", "enable_grad"]
__all__ += ["functional", "grad", "gradcheck", "gradgradcheck", "hessian", "hvp"]
__all__ += ["is_grad_enabled", "jacobian", "jvp", "no_grad", "set_grad_enabled", "vhp", "vjp"]
