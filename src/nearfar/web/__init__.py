"""What our web servers share: what requests pass first, rates, secrets, static files; uvicorn, facing strangers."""
