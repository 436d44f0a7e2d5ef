"""What a GPU node gives: ``python -m benchmarks.gpu`` measures all of it in nine minutes."""
