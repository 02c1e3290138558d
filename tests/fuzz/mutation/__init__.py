"""Mutations: from a valid file to an odd one. Each is a function of a random.Random and the file's content."""
