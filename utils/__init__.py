"""The rooms behind predict.py: configuration, weights, prompts, engine and the service that joins them."""
