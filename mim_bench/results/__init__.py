"""The record of a run: schema, store, collection. No torch and no mmengine."""
