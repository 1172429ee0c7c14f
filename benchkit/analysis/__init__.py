"""Numbers from records: metrics, rates, objectives, and whether a run can be believed; pure functions."""
