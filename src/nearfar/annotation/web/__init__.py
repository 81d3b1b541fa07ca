"""The studio's web pages: the question, training, people and the admin's view."""
