"""``driftflow backtest``: rules that might be, beside those in service, on the same history."""
