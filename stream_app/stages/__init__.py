"""Pure stages: state and input in, state and outputs out. No I/O, no clock, no Kafka, no unseeded random number."""
