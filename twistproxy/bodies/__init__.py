"""Bodies on their way: who holds them, who looks at them, and at what pace they go on."""
