"""The commands, by what they are about: the data, the model, the list."""
