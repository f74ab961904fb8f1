"""The demo model: a tiny ChatML Llama, the program that trains it and the checks it must pass."""
