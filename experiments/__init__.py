"""The commands of fscs: `python -m experiments.meta_train`, `experiments.finetune_eval`, ..."""
