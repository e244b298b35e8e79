"""Files that appear whole or not at all, locks, strict JSON, logs of runs, Ctrl-C."""
