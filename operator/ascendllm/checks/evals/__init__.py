"""Tasks of lm-eval, run by lm-eval itself; every request of it passes through a proxy of ours."""
