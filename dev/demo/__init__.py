"""`make demo`: the main job, for a person to see. Everything in it is real; nothing it starts is left unsaid."""
