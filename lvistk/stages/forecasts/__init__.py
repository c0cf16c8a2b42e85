"""What a stage would take before it runs: steps, hours, memory."""
