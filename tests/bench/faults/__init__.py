"""``make bench-faults``: real processes on Apache Kafka, hindered at random: what is lost, what is doubled."""
