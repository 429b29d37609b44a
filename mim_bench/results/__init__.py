"""The record of a run: schema, store, collection. No torch."""
