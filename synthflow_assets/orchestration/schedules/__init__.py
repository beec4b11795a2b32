"""The jobs and their schedules. All schedules are off until a user switches them on."""
