"""How fast fscs is: against PyTorch, against the machine's limit, and as work and devices grow."""
