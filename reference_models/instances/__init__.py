"""How the two instance networks are trained: drawn objects, what each network learns from them, and its score."""
