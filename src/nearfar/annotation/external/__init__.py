"""Workers who come from elsewhere: Amazon Mechanical Turk and Prolific."""
