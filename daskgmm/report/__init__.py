"""What a person looks at. It listens to events; compute code does not know that it exists."""
