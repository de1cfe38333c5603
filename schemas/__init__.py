"""The contract on the wire: records, their codecs and the published JSON Schemas. Imports nothing of ours."""
