"""What a training run needs around Lightning's Trainer: schedules, callbacks, loggers, checkpoints."""
