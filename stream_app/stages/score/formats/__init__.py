"""Bodies that are not JSON: rows of float32, MessagePack, Avro."""
