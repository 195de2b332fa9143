"""How gradients come in: who may send, what is received, whether it is good."""
