// placeholder until this target's first commit
