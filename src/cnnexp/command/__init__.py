"""What was typed becomes settings: arguments, records used again, checks, and what to say of a mistake."""
