"""The Kubernetes Dashboard's handlers without HTTP: `selection` answers lists, `kinds` says what each list holds."""
