"""From the rows of a request to the parts of a training, with what is wrong with them. No Kafka here."""
