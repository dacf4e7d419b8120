"""What must hold for every file, whoever writes the next one."""
