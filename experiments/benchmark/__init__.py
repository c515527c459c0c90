"""Speed of fscs: against PyTorch, against the peak of the machine, over tasks and devices."""
