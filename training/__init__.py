"""How the built-in models are trained: their data, their loops, their figures."""
