"""Benchmarks against the tools that people use now. `make bench` runs them all; results go to `bench/results/`."""
