"""The commands of fscs: `python -m experiments.meta_train`, `experiments.finetune_eval`, ..."""

import os

# XLA otherwise asks users to file a bug if the machine is slow; JAX reads this when it is imported.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
