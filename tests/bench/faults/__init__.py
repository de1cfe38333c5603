"""``make bench-faults``: real processes on Apache Kafka, killed and hindered at random: what is lost, what is doubled."""
