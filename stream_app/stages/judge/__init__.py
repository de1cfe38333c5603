"""JUDGE: verdicts in; incidents and retrain requests out. WATCH calls it until it is a stage of its own."""
