"""`regulars publish`: events from a file into Kafka, directly or through ingest."""
