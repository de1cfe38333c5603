"""Checks of a flow family: a density, its parts, its inverse, its samples, and the form that is compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from flowlib.checks.examples import FlowMaker, example_batch, example_flow, loosened, require, require_close
from flowlib.engines import Engine, build
from flowlib.flows import Flow

P_VALUE_MIN = 1e-3
"""Least p-value of a test of samples; their seeds are fixed."""


def check_flow(make: FlowMaker) -> None:
    """Every one of :data:`FLOW_CHECKS`.

    Args:
        make: called as ``make(d, context, generator)``; gives a fresh flow. A class of flows is one.

    Raises:
        AssertionError: a sentence on the first fault.
    """
    for check in FLOW_CHECKS:
        check(make)


def check_jacobian(make: FlowMaker) -> None:
    """Σ ladj of a bijective flow is log |det dz/dx|."""
    for d in (1, 2, 4):
        flow, (x, context) = example_flow(make, d), example_batch(6, d, scale=2.0)
        if flow.bijective:
            ladj, log_det = flow(x, context)[1].sum(dim=1), _log_det(flow, x, context)
            require_close(ladj, log_det, 1e-8, f"ladj does not sum to log |det dz/dx| ({d} features)")


def _log_det(flow: Flow, x: Tensor, context: Tensor) -> Tensor:
    """``(n,)`` log |det dz/dx| by autograd."""
    jacobian: Callable[..., Tensor] = torch.autograd.functional.jacobian
    by_output = jacobian(lambda v: flow(v, context)[0].sum(dim=0), x)  # (d, n, d): rows do not depend on each other
    log_det: Tensor = torch.linalg.slogdet(by_output.transpose(0, 1)).logabsdet
    return log_det


def check_inverse(make: FlowMaker) -> None:
    """``inverse`` undoes ``forward``, and ``forward`` undoes ``inverse``."""
    for d in (1, 2, 4):
        flow, (x, context) = example_flow(make, d), example_batch(50, d, scale=2.0)
        there, back = flow(x, context)[0], flow.inverse(x, context)
        require_close(flow.inverse(there, context), x, 1e-7, f"inverse does not undo forward ({d} features)")
        require_close(flow(back, context)[0], x, 1e-7, f"forward does not undo inverse ({d} features)")


def check_density(make: FlowMaker) -> None:
    """The density integrates to one, over one feature and over two."""
    axis, density, _ = _density_of_one_feature(example_flow(make, 1, 2))
    mass = float(torch.trapezoid(density, axis))
    require(abs(mass - 1) < 1e-4, f"the density of one feature integrates to {mass:.5f}, not 1")
    flow, context = example_flow(make, 2, 1, spread=0.07), torch.tensor([[0.6]], dtype=torch.float64)
    axis = torch.linspace(-12, 12, 361, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = float(flow.log_prob(grid, context.expand(len(grid), -1)).exp().sum() * (axis[1] - axis[0]) ** 2)
    require(abs(mass - 1) < 5e-3, f"the density of two features integrates to {mass:.4f}, not 1")


def check_context(make: FlowMaker) -> None:
    """The context changes z of every feature."""
    for d in (1, 2, 5):
        flow, x = example_flow(make, d, 2), torch.full((1, d), 0.3, dtype=torch.float64)
        z, other = (flow(x, torch.tensor([c], dtype=torch.float64))[0] for c in ([0.0, 1.0], [1.0, 0.0]))
        same = torch.nonzero((z - other).abs()[0] <= 1e-6)[:, 0].tolist()
        require(not same, f"the context does not reach z of features {same} of {d}")


def check_far_out(make: FlowMaker) -> None:
    """Rows 60 scale units out have finite results in single precision, and are less likely than nearer ones."""
    flow, d = example_flow(make).float(), 4
    corners = [torch.full((1, d), value) for value in (60.0, -60.0, 5.0, -5.0)]
    x = torch.cat([60.0 * torch.eye(d), -60.0 * torch.eye(d), *corners])
    context = torch.zeros(len(x), 3)
    forms: dict[str, Callable[[], Iterable[Tensor]]] = {
        "forward": lambda: flow(x, context),
        "the engine": lambda: map(torch.from_numpy, _built(flow)(x.numpy(), context.numpy())),
    }
    for form, run in forms.items():
        z, ladj = run()
        total = (ladj - 0.5 * z * z).sum(dim=1)
        require(bool(z.isfinite().all() and total.isfinite().all()), f"{form} is not finite 60 scale units out")
        require(bool((total[:-2] < total[-2:].max()).all()), f"{form} finds rows 60 scale units out likelier than at 5")


def check_single_precision(make: FlowMaker) -> None:
    """Log-likelihoods in single precision agree with double, far out too: to 1e-3 nats and 1e-4 of their size."""
    flow, (x, context) = example_flow(make, spread=0.05), example_batch(300, scale=10.0)
    with torch.no_grad():
        double = flow.log_prob(x, context)
        single = flow.float().log_prob(x.float(), context.float()).double()
    gap, worst = ((single - double).abs() / (1e-3 + 1e-4 * double.abs())).max(dim=0)
    pair = f"{float(single[worst]):.4f} in single precision, {float(double[worst]):.4f} in double"
    require(float(gap) <= 1, f"log_prob loses too many digits: {pair}")


def check_baked(make: FlowMaker) -> None:
    """``bake`` gives the same function, in a form that TorchScript compiles."""
    for d in (1, 4):
        flow, (x, context) = example_flow(make, d), example_batch(50, d, scale=3.0)
        for baked, eager in zip(flow.bake().double()(x, context), flow(x, context), strict=True):
            require_close(baked, eager, 1e-7, f"bake() is another function ({d} features)")
        flow, x, context = flow.float(), x.float(), context.float()
        scripted = map(torch.from_numpy, _built(flow, "torchscript")(x.numpy(), context.numpy()))
        for compiled, eager in zip(scripted, flow(x, context), strict=True):
            require_close(compiled, eager, 1e-4, f"compiled it is another function ({d} features)")


def check_smallest(make: FlowMaker) -> None:
    """One feature and no context are enough, to score and to draw."""
    flow = loosened(make(1, 0, torch.Generator().manual_seed(1)))
    results = _built(flow)(np.array([[0.5]], dtype=np.float32), np.zeros((1, 0), dtype=np.float32))
    require(all(np.isfinite(part).all() for part in results), "one feature without context has no finite result")
    shape = tuple(flow.sample(torch.zeros(7, 0), torch.Generator().manual_seed(2)).shape)
    require(shape == (7, 1), f"7 samples of one feature have shape {shape}, expected (7, 1)")


def check_samples(make: FlowMaker) -> None:
    """Samples of one feature follow the density."""
    flow = example_flow(make, 1, 2)
    axis, density, context = _density_of_one_feature(flow)
    cdf = torch.cumulative_trapezoid(density, axis).numpy()
    drawn = flow.float().sample(context.float().expand(4_000, -1), torch.Generator().manual_seed(11))[:, 0].numpy()
    p_value = stats.kstest(drawn, lambda v: np.interp(v, axis[1:].numpy(), cdf)).pvalue
    require(p_value > P_VALUE_MIN, f"samples of one feature do not follow the density (p = {p_value:.1e})")


def check_base_of_samples(make: FlowMaker) -> None:
    """A bijective flow maps its samples to independent standard normals."""
    flow, context = example_flow(make).float(), example_batch(4_000)[1].float()
    if not flow.bijective:
        return
    with torch.no_grad():
        z = flow(flow.sample(context, torch.Generator().manual_seed(12)), context)[0].numpy()
    p_value = min(stats.kstest(column, "norm").pvalue for column in z.T)
    require(p_value > P_VALUE_MIN, f"z of samples is not standard normal (p = {p_value:.1e})")
    correlation = np.abs(np.corrcoef(z, rowvar=False) - np.eye(z.shape[1])).max()
    require(correlation < 0.08, f"z of samples is correlated ({correlation:.2f})")


def check_sample_seed(make: FlowMaker) -> None:
    """Samples follow their generator and their context."""
    flow = example_flow(make, 2, 1).float()

    def drawn(context: float, seed: int) -> Tensor:
        return flow.sample(torch.full((50, 1), context), torch.Generator().manual_seed(seed))

    require(torch.equal(drawn(0.0, 1), drawn(0.0, 1)), "the same generator gives other samples: sample() uses another")
    require(not torch.equal(drawn(0.0, 1), drawn(0.0, 2)), "another generator gives the same samples")
    require(not torch.equal(drawn(0.0, 1), drawn(1.0, 1)), "another context gives the same samples")


def check_seed(make: FlowMaker) -> None:
    """The generator alone decides the weights of a fresh flow."""

    def weights(seed: int) -> Tensor:
        return torch.cat([part.flatten() for part in make(3, 2, torch.Generator().manual_seed(seed)).parameters()])

    require(torch.equal(weights(1), weights(1)), "the same generator gives other weights: some come from elsewhere")
    require(not torch.equal(weights(1), weights(2)), "another generator gives the same weights")


def check_gradients(make: FlowMaker) -> None:
    """The objective has a finite gradient for every parameter, unless the family has a solver of its own."""
    flow, (x, context) = example_flow(make), example_batch(50)
    if flow.solve is not None:
        return
    parameters = {name: part for name, part in flow.named_parameters() if part.requires_grad}
    objective = flow.objective(x, context).mean()
    require(objective.requires_grad, "objective() depends on no parameter that training could change")
    grads = torch.autograd.grad(objective, list(parameters.values()), allow_unused=True)
    bad = [name for name, grad in zip(parameters, grads, strict=True) if grad is None or not grad.isfinite().all()]
    require(not bad, f"objective() has no finite gradient for {', '.join(bad)}")


def check_hyperparameters(make: FlowMaker) -> None:
    """``type(flow)(generator=…, **hyperparameters)`` with the stored weights is the same flow."""
    flow, (x, context) = example_flow(make).float(), example_batch(2)
    try:
        again = type(flow)(generator=torch.Generator().manual_seed(9), **flow.hyperparameters())
        again.load_state_dict(flow.state_dict(), strict=True)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AssertionError(f"hyperparameters() do not rebuild the flow: {error}") from error
    x, context = x.float(), context.float()
    same = all(
        torch.equal(ours, theirs) for ours, theirs in zip(flow(x, context), again.eval()(x, context), strict=True)
    )
    require(same, "the flow that hyperparameters() and state_dict() rebuild is another function")


def _density_of_one_feature(flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
    """A fine axis ``(n,)``, the density on it, and the context ``(1, 2)`` that it is given."""
    context = torch.tensor([[0.3, 0.9]], dtype=torch.float64)
    axis = torch.linspace(-40, 40, 20_001, dtype=torch.float64)
    with torch.no_grad():
        return axis, flow.log_prob(axis[:, None], context.expand(len(axis), -1)).exp(), context


def _built(flow: Flow, engine: str = "auto") -> Engine:
    try:
        return build(flow, engine)
    except Exception as error:
        raise AssertionError(f"the flow cannot be compiled: {error}") from error


FLOW_CHECKS: tuple[Callable[[FlowMaker], None], ...] = (
    check_jacobian,
    check_inverse,
    check_density,
    check_context,
    check_far_out,
    check_single_precision,
    check_baked,
    check_smallest,
    check_samples,
    check_base_of_samples,
    check_sample_seed,
    check_seed,
    check_gradients,
    check_hyperparameters,
)
