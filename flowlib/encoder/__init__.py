"""From a table to the inputs of a flow, and the exact log-Jacobian of the way there."""
