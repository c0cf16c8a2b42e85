"""What stands beside the stages: files made, shown, compared and exported."""
